"""The parent's side of the trainer process: start it, give it runs, replace it.

The child keeps the live weights warm between windows. It is replaced after an error, after so many windows,
or when it has grown too large, because that is the only thing that gives a GPU's memory back.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from tidegate.log import get_log
from tidegate.settings import get_settings
from tidegate.windows import Run

log = get_log("gpu")


class TrainerFailed(Exception):
    """A run ended in an error; `str()` is the child's traceback, `summary` its last line."""

    @property
    def summary(self) -> str:
        """Return the last line."""
        return str(self).strip().rpartition("\n")[2]


class Trainer:
    """A trainer process that is there when it is needed."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.windows = 0

    def train(self, run: Run) -> dict[str, Any]:
        """Have the child train a run; return its report. Raises TrainerFailed."""
        process = self.started()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(asdict(run)) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.close()
            raise TrainerFailed(f"the trainer process ended with exit code {process.returncode}")
        report: dict[str, Any] = json.loads(line)
        self.windows += 1
        if "error" in report:
            self.close()
            raise TrainerFailed(report["error"])
        self.replace_if_worn(report["memory_mb"])
        return report

    def started(self) -> subprocess.Popen[str]:
        """Return the running child, starting one if there is none."""
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers.trainer"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                bufsize=1,
            )
            self.windows = 0
        return self.process

    def replace_if_worn(self, memory_mb: float) -> None:
        """End a child that has done its share or holds too much memory; the next run starts a new one."""
        settings = get_settings()
        if self.windows >= settings.trainer_max_windows or memory_mb > settings.trainer_memory_limit_mb:
            log.info("trainer process replaced after %s windows, %.0f MB", self.windows, memory_mb)
            self.close()

    def close(self) -> None:
        """End the child, if there is one: its input ends, and it has ten seconds."""
        if self.process is None:
            return
        process, self.process = self.process, None
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
