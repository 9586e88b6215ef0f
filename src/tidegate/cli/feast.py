"""`tidegate feast`: the plain Feast command on tidegate's database."""

from __future__ import annotations

import signal
import subprocess

import typer

from tidegate.feature_store import command, environment
from tidegate.features import forget_torn_down
from tidegate.postgres import Database, open_database

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],  # `tidegate feast --help` is Feast's own help
    }
)
def feast(ctx: typer.Context) -> None:
    """Run Feast on tidegate's database and definitions: tidegate feast feature-views list."""
    with open_database() as database:
        if "apply" in ctx.args:
            with database.connect(autocommit=True) as connection:
                forget_torn_down(connection)
        code = run_feast(database, ctx.args)
    raise typer.Exit(code)


def run_feast(database: Database, arguments: list[str]) -> int:
    """Run Feast and return its exit code. Ctrl-C is Feast's own: there it ends `serve`."""
    with subprocess.Popen(command(arguments), env=environment(database)) as process:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return process.wait()
        finally:
            signal.signal(signal.SIGINT, before)
