"""The `tidegate` command.

A command's module is imported when that command runs, not before: `tidegate --help` has to answer at once
although some commands need a database driver or Feast. So this module imports typer and nothing else, and
the help texts stand in the table below.

To add a command, write a function (or a `typer.Typer()` of several) in `cli/<noun>.py` and add its line to
COMMANDS.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

import tidegate
from tidegate.cli.mistakes import exit_code


class Entry(NamedTuple):
    """Where a command lives and what `tidegate --help` says of it."""

    target: str  # "module:function" or "module:typer_app", the module one of this package
    help: str


COMMANDS: dict[str, Entry] = {
    "doctor": Entry("doctor:doctor", "Check everything tidegate needs, and say how to mend it."),
    "migrate": Entry("database:migrate", "Bring the database's schema to this program's version."),
    "database": Entry("database:app", "Start, stop, back up or restore PostgreSQL; print its URL."),
    "psql": Entry("database:psql_app", "Open psql on tidegate's database."),
    "up": Entry("processes:up", "Run the whole stack in the foreground until Ctrl-C."),
    "keeper": Entry("processes:keeper", "Fold features, sweep, relay and free leases until stopped."),
    "worker": Entry("processes:worker", "Run a Celery worker for the features or the gpu queue."),
    "demo": Entry("demo:demo", "Watch a year of shopping land, train and change what is recommended."),
    "env": Entry("env:env", "Print exports for alembic, celery, feast and psql."),
    "feast": Entry("feast:app", "Run the plain Feast command on tidegate's database."),
    "features": Entry("features:features", "Show what is known of a user, now or as it was at a moment."),
    "feature-server": Entry(
        "feature_server:feature_server", "Serve Feast's features over HTTP, as `feast serve` does, and faster."
    ),
    "ingest": Entry("ingest:ingest", "Bring a file into the events or the catalogue, resumable."),
    "recommend": Entry("recommend:recommend", "Show what a user would be recommended, and why."),
    "status": Entry("status:status", "Show streams, windows, versions, quarantine and leases."),
    "streams": Entry("streams:app", "List streams, add one, or change what makes one train."),
    "versions": Entry("versions:app", "List versions, look at one, or make one live."),
    "replay": Entry("replay:replay", "Train a version again and compare the weights."),
    "backtest": Entry("backtest:backtest", "Compare methods of learning on the events that are there."),
    "windows": Entry("windows:app", "List windows, look at one, cut, verify, retry or skip one."),
    "rules": Entry("rules:app", "List, add, change, remove or try the rules that events must keep."),
    "quarantine": Entry("quarantine:app", "Look at events that broke a rule, and let them go again."),
    "retention": Entry("retention:app", "Show what is past its retention, change that, or let it go."),
    "serve": Entry("serve:serve", "Serve events, recommendations and figures over HTTP."),
}


class LazyGroup(TyperGroup):
    """A group that knows its commands by name and imports the one that is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, entry in COMMANDS.items():
            self.add_command(TyperCommand(name, help=entry.help), name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Put the real command in the place of its help text before typer looks it up."""
        if args and args[0] in COMMANDS:
            self.add_command(load(args[0]), args[0])
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an operator's mistake becomes one line on stderr and exit code 1."""
        try:
            return super().invoke(ctx)
        except (Exception, KeyboardInterrupt) as error:
            code = exit_code(error)
            if code is None or ctx.params.get("debug"):
                raise
            raise SystemExit(code) from None


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,  # two options that no operator of a server asks for, on every help page
    pretty_exceptions_enable=False,  # it prints the values of local variables, passwords included
    rich_markup_mode=None,  # importing rich would be a third of what `--help` costs
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:
    """Print the version and exit, where that is what was asked."""
    if wanted:
        typer.echo(f"tidegate {tidegate.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=show_version, is_eager=True),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Recommendations from PostgreSQL that keep learning from every INSERT."""


def load(name: str) -> Any:
    """Return the command that COMMANDS names, importing its module."""
    entry = COMMANDS[name]
    module, _, attribute = entry.target.partition(":")
    target = getattr(import_module(f"{__name__}.{module}"), attribute)
    if not isinstance(target, typer.Typer):
        function, target = (target, typer.Typer(add_completion=False, rich_markup_mode=None))
        target.command(name)(function)
    command = typer.main.get_command(target)
    command.name = name
    return command


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit the process."""
    try:
        app(args=arguments, prog_name="tidegate")
    except KeyboardInterrupt:  # while a module was being imported
        sys.exit(130)
