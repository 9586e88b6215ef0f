"""The whole stack as child processes of one: what `tidegate up`, the demo and the acceptance tests start.

On a server each of these is a service of its own (docker-compose.yml shows them); here one command starts
all, hands their log lines on, and ends all. A child that dies is started again, as any supervisor would.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TextIO

from tidegate.errors import MissingPackage, TidegateError

PR_SET_PDEATHSIG = 1
STOP_SECONDS = 15.0
LOOK_EVERY = 0.5  # seconds: how soon a death is seen
# Pauses before a restart, in seconds. They double while a service keeps dying, so that one that cannot run does not
# take the machine, and begin anew once one has got through its start.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
HEALTHY_SECONDS = 10.0

CELERY = (
    sys.executable,
    "-m",
    "celery",
    "--quiet",  # a banner of twenty lines says nothing that the log does not
    "-A",
    "workers",
    "worker",
    "--loglevel",
    "warning",
)
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")

COMMANDS: dict[str, tuple[str, ...]] = {
    "keeper": (sys.executable, "-m", "workers.keeper"),
    # Threads, because both tasks wait for PostgreSQL and Feast takes seconds to import in each process.
    "features": (
        *CELERY,
        "-Q",
        "features,housekeeping",
        "-n",
        "features@%h",
        "--pool",
        "threads",
        "-c",
        "2",
        *QUIET,
    ),
    # Solo, because a forked child cannot use CUDA, and the trainer is a process of its own anyway.
    "gpu": (*CELERY, "-Q", "gpu", "-n", "gpu@%h", "--pool", "solo", "-c", "1", *QUIET),
    "api": (sys.executable, "-m", "tidegate", "serve"),
}


@dataclass
class Service:
    """A child process and what to run when it is gone."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    process: subprocess.Popen[str] = field(init=False)
    threads: list[threading.Thread] = field(default_factory=list)
    started_at: float = 0.0  # monotonic seconds, as the next two
    restart_at: float | None = None  # while it is dead and was noticed
    pause: float = FIRST_PAUSE

    def start(self, say: Callable[[str, str], None]) -> None:
        """Start the process; `say(name, line)` gets each line of its output."""
        self.started_at, self.restart_at = time.monotonic(), None
        self.process = subprocess.Popen(
            self.command,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
            # Ctrl-C reaches this process alone, which then ends the others in order.
            start_new_session=True,
            preexec_fn=end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509  # one call, no locks
        )
        assert self.process.stdout is not None
        reader = threading.Thread(target=hand_on, args=(self.name, self.process.stdout, say), daemon=True)
        reader.start()
        self.threads.append(reader)

    def revive(self, say: Callable[[str, str], None]) -> None:
        """Start it again if it has ended and its pause is over. Waits for nothing."""
        if self.process.poll() is None:
            return
        now = time.monotonic()
        if self.restart_at is None:
            lived = now - self.started_at
            if lived > HEALTHY_SECONDS:
                self.pause = FIRST_PAUSE
            self.restart_at = now + self.pause
            code = self.process.returncode
            say(self.name, f"{self.name} ended with exit code {code}; starting it again in {self.pause:.0f} s")
            self.pause = min(2 * self.pause, LONGEST_PAUSE)
        elif now >= self.restart_at:
            self.start(say)

    def stop(self) -> None:
        """Ask it to end, and insist after STOP_SECONDS."""
        if self.process.poll() is None:
            self.process.terminate()

    def wait(self) -> None:
        """Wait until it has ended; kill the whole group if it does not."""
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def end_with_parent() -> None:
    """Have the kernel end this process when its parent dies, however that happens (Linux)."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def hand_on(name: str, lines: TextIO, say: Callable[[str, str], None]) -> None:
    """Pass each line to `say`."""
    for line in lines:
        say(name, line.rstrip("\n"))


class Stack:
    """The services, running while the context is open."""

    def __init__(
        self,
        names: tuple[str, ...] = tuple(COMMANDS),
        say: Callable[[str, str], None] = lambda name, line: print(line, flush=True),  # noqa: T201
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if "gpu" in names or "features" in names:
            require("celery", "torch")
        # One thread a process: two OpenMP threads that fight another job are slower than one.
        base = {
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONUNBUFFERED": "1",
        }
        merged = base | dict(os.environ) | dict(environment or {})
        self.services = {name: Service(name, COMMANDS[name], merged) for name in names}
        self.say = say

    def __enter__(self) -> Self:
        for service in self.services.values():
            service.start(self.say)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for service in self.services.values():
            service.stop()
        for service in self.services.values():
            service.wait()

    def check(self) -> None:
        """Raise TidegateError if a service has ended."""
        for service in self.services.values():
            if (code := service.process.poll()) is not None:
                raise TidegateError(
                    f"The {service.name} process ended with exit code {code}.",
                    "Its last lines above say why.",
                )

    def supervise(self, stop: threading.Event) -> None:
        """Start services again that end, until `stop` is set; one that keeps ending holds no other up."""
        while not stop.wait(LOOK_EVERY):
            for service in self.services.values():
                service.revive(self.say)


def require(*packages: str) -> None:
    """Raise MissingPackage unless all of them can be imported."""
    from importlib.util import find_spec

    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise MissingPackage(f"The workers need {' and '.join(missing)}.")
