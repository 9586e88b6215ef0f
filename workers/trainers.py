"""The parent's side of the trainer process: start it, give it runs, watch it, replace it.

A window is claimed when the child is ready, not before: a worker whose torch does not load must cost no window an
attempt. The child keeps the live weights warm between windows. It is replaced after an error, after so many windows,
or when it has grown too large, because that is the only thing that gives a GPU's memory back. It is killed when its
run's lease has ended or its time is up: a process that hangs says nothing, so the parent asks the table.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from queue import Empty, SimpleQueue
from typing import Any, TextIO

from tidegate.errors import LeaseLost
from tidegate.log import get_log
from tidegate.postgres import is_outage
from tidegate.settings import get_settings
from tidegate.windows import Run, seconds_left
from workers.connections import connection

log = get_log("gpu")

# A start takes seconds, on a machine that swaps minutes.
START_SECONDS = 300.0

STOP = object()  # what `interrupt` says in the place of an answer


class TrainerMissing(Exception):
    """The trainer process does not start here, so that nothing can be claimed."""


class TrainerFailed(Exception):
    """A run ended in an error; `str()` is the child's traceback, `summary` one line of it."""

    def __init__(self, error: str, summary: str | None = None) -> None:
        super().__init__(error)
        self.summary = summary or error


class RunInterrupted(Exception):
    """A run ended for a reason outside of its window: an outage by its traceback, or None for a worker that stops."""

    def __init__(self, outage: str | None) -> None:
        self.outage = outage
        super().__init__(outage or "the worker stops")


class Trainer:
    """A trainer process that is there when it is needed."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.answers: SimpleQueue[Any] = SimpleQueue()  # a line; None at the end of the output; STOP
        self.windows = 0
        self.stopping = False

    def ready(self) -> bool:
        """Have a child that waits for runs; return False where the worker is being stopped. Raises TrainerMissing."""
        if self.process is None or self.process.poll() is not None:
            self.start()
            self.hear_that_it_started()
        return not self.stopping

    def hear_that_it_started(self) -> None:
        """Wait for the first line of a new child. Raises TrainerMissing."""
        try:
            said = self.answers.get(timeout=START_SECONDS)
        except Empty:
            said = None
        if said is None:
            raise TrainerMissing(
                f"the trainer process does not start, exit code {self.kill()}; its lines above say why"
            )

    def train(self, run: Run) -> dict[str, Any]:
        """Have the ready child train a run; return its report. Raises TrainerFailed, RunInterrupted, LeaseLost."""
        self.give(run)
        try:
            report = self.wait(run)
        except BaseException:
            self.kill()  # whatever it still says is of no use to the next run
            raise
        self.windows += 1
        if "ended" in report:
            self.close()
            raise ending(report)
        self.replace_if_worn(report["memory_mb"])
        return report

    def give(self, run: Run) -> None:
        """Hand the child a run."""
        assert self.process is not None
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(asdict(run)) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # its output ends as well, and says so

    def wait(self, run: Run) -> dict[str, Any]:
        """Wait for the child's answer, but not beyond its lease and its time."""
        settings = get_settings()
        deadline = time.monotonic() + settings.run_limit_seconds
        while True:
            pause = min(settings.lease_seconds / 3, max(0.0, deadline - time.monotonic()))
            try:
                line = self.answers.get(timeout=pause)
            except Empty:
                self.check(run, late=time.monotonic() >= deadline)
                continue
            if line is STOP:
                raise RunInterrupted(None)
            if line is None:
                raise TrainerFailed(f"the trainer process ended with exit code {self.kill()}")
            report: dict[str, Any] = json.loads(line)
            return report

    def check(self, run: Run, late: bool) -> None:
        """Raise where the child takes too long, or its lease has ended: frozen, or overtaken by another worker."""
        settings = get_settings()
        if late:
            raise TrainerFailed(f"not done after TIDEGATE_RUN_LIMIT_SECONDS, {settings.run_limit_seconds} s")
        try:
            left = seconds_left(connection(), run)
        except Exception as error:
            if is_outage(error):
                return  # nobody's lease ends while the database is away
            raise
        if left <= 0:
            raise TrainerFailed(f"the trainer process was silent for {settings.lease_seconds} s: frozen, or starved")

    def start(self) -> None:
        """Start a child."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "workers.trainer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.windows = 0
        self.answers = SimpleQueue()
        threading.Thread(target=hand_on, args=(self.process.stdout, self.answers), daemon=True).start()
        if self.stopping:
            self.answers.put(STOP)

    def replace_if_worn(self, memory_mb: float) -> None:
        """End a child that has done its share or holds too much memory; the next run starts a new one."""
        settings = get_settings()
        if self.windows >= settings.trainer_max_windows or memory_mb > settings.trainer_memory_limit_mb:
            log.info("trainer process replaced after %s windows, %.0f MB", self.windows, memory_mb)
            self.close()

    def interrupt(self) -> None:
        """Have the run that is being trained end at once, and take no other. Safe in a signal handler."""
        self.stopping = True
        self.answers.put(STOP)

    def close(self) -> None:
        """End the child, if there is one: its input ends, and it has ten seconds."""
        if self.process is None:
            return
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self) -> int | None:
        """End the child as it is; return its exit code. What it had not published is gone with it."""
        if self.process is None:
            return None
        process, self.process = self.process, None
        process.kill()
        return process.wait()


def hand_on(output: TextIO, answers: SimpleQueue[Any]) -> None:
    """Put each line of a child's output into the queue, and None at its end."""
    for line in output:
        answers.put(line)
    answers.put(None)


def ending(report: dict[str, Any]) -> Exception:
    """Return the error that says how a run ended."""
    if report["ended"] == "lost":
        return LeaseLost(report["error"])
    if report["ended"] == "outage":
        return RunInterrupted(report["error"])
    return TrainerFailed(report["error"], report["summary"])
