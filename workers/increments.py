"""The task of the `gpu` queue: train on windows, in order, in a process of their own.

This module and all that it imports stay free of torch: a parent that has touched CUDA poisons its children,
and memory on a GPU is freed only when the process that took it dies.
"""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from typing import Any

from celery.signals import worker_process_shutdown, worker_shutdown

from tidegate.log import get_log
from tidegate.queries import queries
from tidegate.settings import get_settings
from tidegate.windows import Run, claim, fail
from workers.app import app
from workers.connections import connection
from workers.trainers import Trainer, TrainerFailed
from workers.windows import RETRY

log = get_log("gpu")
trainer = Trainer()

# A window that fails this often is parked, and the stream goes on without it.
ATTEMPTS = 3


@app.task(name="tidegate.train_window", **RETRY)
def train_window(window_id: int) -> list[dict[str, Any]]:
    """Train on every window of the stream that can be claimed now; the id says which stream."""
    reports = []
    while (run := claim_next(window_id)) is not None:
        reports.append(train(run))
    return reports


def claim_next(window_id: int) -> Run | None:
    """Claim the next window of this window's stream, under a name that says where it runs."""
    row = connection().execute(queries["window_stream"], {"window": window_id}).fetchone()
    if row is None:
        return None
    worker = f"{socket.gethostname()}:{os.getpid()}"
    return claim(connection(), row[0], worker, timedelta(seconds=get_settings().lease_seconds))


def train(run: Run) -> dict[str, Any]:
    """Run one attempt; a failure is a row, and after ATTEMPTS of them the window is parked."""
    log.info("window %s claimed, attempt %s", run.window_id, run.attempt)
    try:
        report = trainer.train(run)
    except TrainerFailed as error:
        parked = fail(connection(), run, str(error), ATTEMPTS)
        log.error(  # noqa: TRY400  # the traceback is the child's, and is in the run's row
            "window %s %s: %s", run.window_id, "parked" if parked else "failed", error.summary
        )
        return {"window_id": run.window_id, "error": error.summary}
    log.info("window %s: %s", run.window_id, report["summary"])
    return report


@worker_shutdown.connect
@worker_process_shutdown.connect
def stop_trainer(**_: Any) -> None:
    """End the child with its parent."""
    trainer.close()
