"""`tidegate up`, `keeper` and `worker`: the processes, one by one or all at once.

They are started as commands: this package imports neither Celery nor torch.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Annotated, NoReturn

import typer

from tidegate.stack import CELERY, COMMANDS, Stack


def keeper() -> None:
    """Fold features, sweep, relay and free leases until stopped."""
    become(COMMANDS["keeper"])


def worker(
    queue: Annotated[str, typer.Argument(help="features or gpu")],
) -> None:
    """Run a Celery worker for a queue until stopped."""
    if queue not in ("features", "gpu"):
        raise typer.BadParameter(f"{queue!r} is neither features nor gpu")
    become((*COMMANDS[queue][: len(CELERY) - 1], "info", *COMMANDS[queue][len(CELERY) :]))


def up(
    no_training: Annotated[bool, typer.Option("--no-training", help="Leave the gpu worker out.")] = False,
) -> None:
    """Run the whole stack in the foreground until Ctrl-C."""
    from tidegate import features
    from tidegate.migrate import upgrade
    from tidegate.postgres import open_database
    from tidegate.settings import get_settings

    settings = get_settings()
    with open_database() as database:
        upgrade(database)
        features.apply_definitions(database)
        names = tuple(name for name in COMMANDS if not (no_training and name == "gpu"))
        url = f"http://{settings.http_host}:{settings.http_port}"
        typer.echo(f"database  {database}\nHTTP      {url}  (docs: {url}/docs, metrics: {url}/metrics)")
        typer.echo("try       tidegate recommend USER · tidegate status · Ctrl-C ends everything\n")
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        with Stack(names) as stack:
            stack.supervise(stop)
        typer.echo("stopped; the data stays")


def become(command: tuple[str, ...]) -> NoReturn:
    """Replace this process by a command, so that signals reach it directly."""
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606  # no shell is the point
