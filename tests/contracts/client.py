"""A Celery client in a process of its own: one JSON request a line, one JSON answer a line.

The application is configured when it is imported, so one process can talk to one broker only.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.contracts.tasks import app

SECONDS = 30.0


def purge() -> int:
    """Throw away what an earlier run has left in the queues."""
    return int(app.control.purge())


def send(name: str, queue: str = "housekeeping", **kwargs: Any) -> str:
    """Send a task; return its id."""
    return str(app.send_task(name, kwargs=kwargs, queue=queue).id)


def result(task: str) -> Any:
    """Wait for a task's result."""
    return app.AsyncResult(task).get(timeout=SECONDS, interval=0.02)


def state(task: str) -> str:
    """Return the state of a task."""
    return str(app.AsyncResult(task).state)


def ping() -> list[str]:
    """Return what the worker answers."""
    return [answer["ok"] for answer in (app.control.inspect(timeout=SECONDS, limit=1).ping() or {}).values()]


def active() -> list[dict[str, Any]]:
    """Return the words of the tasks that are being worked on."""
    answers = (app.control.inspect(timeout=SECONDS, limit=1).active() or {}).values()
    return sorted(task["kwargs"]["word"] for answer in answers for task in answer)


def revoke(task: str) -> None:
    """Revoke a task that has not begun; wait until the worker has heard it."""
    app.control.revoke(task, reply=True, timeout=SECONDS, limit=1)


def serve() -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        answer = globals()[request.pop("do")](**request)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
