"""`tidegate backtest`: which method would have learned best from the events that are there."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tidegate.cli.processes import become


def backtest(
    methods: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[METHOD]...",
            help="Methods by name, or baselines, sequential, continual, all. Without: baselines and the usual ways.",
        ),
    ] = None,
    stream: Annotated[str, typer.Option(help="Whose events.")] = "default",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each method that depends on chance.")] = 1,
    windows: Annotated[int, typer.Option(min=2, help="Windows of equal length in time, after the base.")] = 10,
    base_share: Annotated[
        float, typer.Option(min=0.05, max=0.95, help="Share of the time span that is the base.")
    ] = 0.7,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only events from then on.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only events before then.")] = None,
    no_text: Annotated[bool, typer.Option("--no-text", help="Learn from ids alone.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Replay the stream's events through several methods and compare them; change nothing.

    Each window is ranked by what was learned before it, against the whole catalogue. Choices are made on the first half
    of the windows, figures come from the second. Progress is on stderr.
    """
    said = {
        "stream": stream,
        "seeds": seeds,
        "windows": windows,
        "base-share": base_share,
        "since": since,
        "until": until,
    }
    options = [f"--{name}={value}" for name, value in said.items() if value is not None]
    flags = [flag for flag, given in (("--no-text", no_text), ("--json", as_json)) if given]
    chosen = ["--methods", *methods] if methods else []
    become((sys.executable, "-m", "workers.backtest", *options, *flags, *chosen))
