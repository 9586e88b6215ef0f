"""The task of the `gpu` queue: train on windows, in order, in a process of their own.

This module and all that it imports stay free of torch: a parent that has touched CUDA poisons its children,
and memory on a GPU is freed only when the process that took it dies.
"""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from typing import Any

from celery.signals import worker_process_shutdown, worker_shutdown, worker_shutting_down

from tidegate.errors import LeaseLost
from tidegate.log import get_log
from tidegate.queries import queries
from tidegate.settings import get_settings
from tidegate.windows import Run, claim, fail, release
from workers.app import app
from workers.connections import PATIENCE, connection, patiently
from workers.trainers import RunInterrupted, Trainer, TrainerFailed, TrainerMissing
from workers.windows import RETRY

log = get_log("gpu")
trainer = Trainer()

STOPPING_PATIENCE = 5.0  # seconds: service managers kill after ten or more


@app.task(name="tidegate.train_window", **(RETRY | {"autoretry_for": (*RETRY["autoretry_for"], TrainerMissing)}))
def train_window(window_id: int) -> list[dict[str, Any]]:
    """Train on every window of the stream that can be claimed now; the id says which stream."""
    reports = []
    while not trainer.stopping and (run := claim_next(window_id)) is not None:
        reports.append(train(run))
    return reports


def claim_next(window_id: int) -> Run | None:
    """Claim the next window of this window's stream, under a name that says where it runs.

    Raises TrainerMissing, and claims nothing, where no trainer starts.
    """
    row = connection().execute(queries["stream_to_train"], {"window": window_id}).fetchone()
    if row is None or not trainer.ready():
        return None
    worker = f"{socket.gethostname()}:{os.getpid()}"
    return claim(connection(), row[0], worker, timedelta(seconds=get_settings().lease_seconds))


def train(run: Run) -> dict[str, Any]:
    """Run one attempt; return its report, or how it ended. However it ends is a row."""
    log.info("window %s claimed, attempt %s", run.window_id, run.attempt)
    try:
        report = trainer.train(run)
    except TrainerFailed as error:
        return failed(run, error)
    except RunInterrupted as error:
        return interrupted(run, error)
    except LeaseLost as error:
        log.warning("window %s: %s", run.window_id, error)
        return {"window_id": run.window_id, "error": str(error)}
    log.info("window %s: %s", run.window_id, report["summary"])
    return report


def failed(run: Run, error: TrainerFailed) -> dict[str, Any]:
    """Write a failure down; after the last attempt the window is parked."""
    ended = patiently(lambda held: fail(held, run, str(error)))
    log.error("window %s %s: %s", run.window_id, ended or "was finished before", error.summary)
    return {"window_id": run.window_id, "error": error.summary}


def interrupted(run: Run, error: RunInterrupted) -> dict[str, Any]:
    """Give the run back: no attempt is lost, and the next worker need not wait for the lease to run out."""
    patience = STOPPING_PATIENCE if trainer.stopping else PATIENCE
    given = patiently(lambda held: release(held, run, error.outage), patience)
    why = "the worker stops" if error.outage is None else "the database was away"
    log.warning("window %s %s: %s", run.window_id, "given back" if given else "was finished before", why)
    return {"window_id": run.window_id, "error": why}


@worker_shutting_down.connect
def give_back(**_: Any) -> None:
    """End the training at once when the worker is asked to stop: a deployment waits for no window."""
    trainer.interrupt()


@worker_shutdown.connect
@worker_process_shutdown.connect
def stop_trainer(**_: Any) -> None:
    """End the child with its parent."""
    trainer.close()
