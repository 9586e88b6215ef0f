"""The trainer process: reads runs from its input, one JSON line each, and answers each with one JSON line.

It is the only process that imports torch. It keeps the live weights warm between windows, renews the lease of
the run that it works on, and ends when its parent does.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
import traceback
from datetime import timedelta
from typing import Any, TextIO

from tidegate import log as logs
from tidegate.errors import LeaseLost, TidegateError
from tidegate.log import get_log
from tidegate.settings import get_settings
from tidegate.windows import Run, renew
from workers.connections import database

log = get_log("trainer")


class Heartbeat:
    """Renews a run's lease from a thread of its own for as long as the context is open."""

    def __init__(self, run: Run, seconds: float) -> None:
        self.run = run
        self.seconds = seconds
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.beat, daemon=True)

    def beat(self) -> None:
        """Renew three times a lease. A lost lease is left to the publishing transaction, which refuses it."""
        while not self.stop.wait(self.seconds / 3):
            try:
                with database().connect(autocommit=True) as connection:
                    renew(connection, self.run, timedelta(seconds=self.seconds))
            except LeaseLost:
                return
            except TidegateError as error:
                log.warning("heartbeat: %s", error)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop.set()


def end_with_parent(parent: int) -> None:
    """End at once when the parent is gone: its lease runs out, and another worker takes the window."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def memory_mb() -> float:
    """Return the most memory that this process has held, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def answer(run: Run, learner: Any) -> dict[str, Any]:
    """Train a run; return its report, or the traceback."""
    try:
        with Heartbeat(run, get_settings().lease_seconds):
            report: dict[str, Any] = learner.train(run)
    except Exception:
        return {"error": traceback.format_exc(), "memory_mb": memory_mb()}
    return report | {"memory_mb": memory_mb()}


def serve(runs: TextIO, answers: TextIO) -> None:
    """Answer runs until the input ends."""
    # Imported here so that the heartbeat of nothing waits for torch.
    from workers.increment import Learner

    learner = Learner(database())
    for line in runs:
        answers.write(json.dumps(answer(Run(**json.loads(line)), learner)) + "\n")
        answers.flush()


def main() -> None:
    """Run until the parent closes the pipe."""
    settings = get_settings()
    logs.configure(settings.log_level, settings.log_format)
    threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    # Libraries print; only answers may reach the parent.
    answers, sys.stdout = sys.stdout, sys.stderr
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
