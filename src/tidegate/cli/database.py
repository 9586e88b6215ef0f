"""`tidegate database`, `tidegate migrate`, `tidegate psql`: the server and what is in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from tidegate.errors import BadRequest, SettingsError
from tidegate.postgres import Database, EmbeddedServer, open_database
from tidegate.postgres.binaries import client_program
from tidegate.postgres.database import embedded_server, render_url
from tidegate.postgres.embedded import Status
from tidegate.postgres.variables import libpq_variables
from tidegate.settings import get_settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Start, stop, back up or restore PostgreSQL; print its URL.",
)
psql_app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def start() -> None:
    """Start the embedded server and let it run until `tidegate database stop`."""
    _say(_embedded().keep())


@app.command()
def stop(
    force: Annotated[bool, typer.Option("--force", help="Stop it although processes use it.")] = False,
) -> None:
    """Stop the embedded server, which ends every connection."""
    typer.echo("stopped" if _embedded().stop(force) else "it was not running")


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Show whether the server runs, where its data is, and who uses it."""
    if get_settings().database_url is not None:
        _say_external(as_json)
    elif as_json:
        typer.echo(json.dumps(asdict(_embedded().status()), default=str))
    else:
        _say(_embedded().status())


@app.command()
def url() -> None:
    """Print the database's URL, its password included: psql "$(tidegate database url)"."""
    with open_database() as database:
        typer.echo(render_url(database.parameters, "postgresql"))


@app.command()
def dump(file: Annotated[Path, typer.Argument(help="The file to write; pg_restore reads it too.")]) -> None:
    """Write the whole database to a file, as of one moment, while everything runs."""
    from tidegate import backup
    from tidegate.cli.shown import size

    if file.exists():
        raise BadRequest(f"{file} exists.", "Name a new file.")
    with open_database() as database:
        backup.dump(database, file)
    typer.echo(f"{file}: {size(file.stat().st_size)}")


@app.command()
def restore(file: Annotated[Path, typer.Argument(exists=True, help="A file that `dump` has written.")]) -> None:
    """Read a dump into a database that has nothing of tidegate yet."""
    from tidegate import backup

    with open_database() as database:
        revision = backup.restore(database, file)
    typer.echo(f"restored, at revision {revision}; bring it to this program's with `tidegate migrate`")


def migrate() -> None:
    """Bring the database's schema to this program's version."""
    from tidegate.migrate import current, upgrade

    with open_database() as database:
        before = current(database)
        upgrade(database)
        after = current(database)
    typer.echo(f"the schema is at revision {after}" + (", as before" if after == before else ""))


@psql_app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": ["--help"],
    }
)
def psql(ctx: typer.Context) -> None:
    """Open psql on tidegate's database; every argument goes to psql."""
    with open_database() as database:
        code = run_psql(database, ctx.args)
    raise typer.Exit(code)


def run_psql(database: Database, arguments: list[str]) -> int:
    """Run psql and return its exit code. Ctrl-C is psql's own: there it cancels a query."""
    environment = os.environ | libpq_variables(database)
    with subprocess.Popen([client_program("psql"), *arguments], env=environment) as process:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return process.wait()
        finally:
            signal.signal(signal.SIGINT, before)


def _embedded() -> EmbeddedServer:
    settings = get_settings()
    if settings.database_url is not None:
        raise SettingsError(
            "TIDEGATE_DATABASE_URL names a server of your own, which tidegate neither starts nor stops.",
            "Unset it to use the embedded server.",
        )
    return embedded_server(settings)


def _say(found: Status) -> None:
    lines: list[tuple[str, Any]] = [
        ("server", f"running, process {found.pid}" if found.running else "not running"),
        ("stays", "until `tidegate database stop`" if found.kept else "while somebody uses it"),
        ("data", found.data),
        ("log", found.log),
        *[("used by", f"{holder.command} (process {holder.pid})") for holder in found.holders],
    ]
    for name, value in lines:
        typer.echo(f"{name:<8} {value}")


def _say_external(as_json: bool) -> None:
    with open_database() as database, database.connect() as connection:
        found = {"running": True, "server": str(database), "version": connection.info.server_version}
    typer.echo(json.dumps(found) if as_json else f"{'server':<8} {found['server']}, answering")
