"""How commands show what they found: tables for people, one JSON document for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import typer

_PIPE_WIDTH = 160
_UNIT_BYTES = 1024
_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


def say_json(value: Any) -> None:
    """Print one JSON document on one line."""
    import orjson

    typer.echo(orjson.dumps(value, default=str))


def say_table(headings: Iterable[str], rows: Iterable[Iterable[Any]], title: str = "", caption: str = "") -> None:
    """Print a table; numbers stand to the right, missing values are blank."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    cells = [list(row) for row in rows]
    table = Table(box=box.SIMPLE_HEAD)
    names = list(headings)
    for place, heading in enumerate(names):
        numbers = bool(cells) and all(isinstance(row[place], int | float | None) for row in cells)
        last = place == len(names) - 1  # the one that may be long: a reason, a document
        table.add_column(heading, justify="right" if numbers else "left", overflow="fold", no_wrap=not last)
    for row in cells:
        table.add_row(*map(cell, row))
    # A file or a pipe has no width: the usual 80 columns would fold every row.
    if title:
        typer.echo(f"  {title}")
    Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)
    if caption:
        typer.echo(f"  {caption}")


def cell(value: Any) -> str:
    """Return a value as a person reads it; what stands in brackets must not become markup."""
    from rich.markup import escape

    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.3f}"
    if isinstance(value, datetime):
        return f"{value.astimezone():%Y-%m-%d %H:%M:%S}"
    return escape(str(value))


def size(n_bytes: int) -> str:
    """Return a size by its largest unit: '1.2 GB'."""
    amount = float(n_bytes)
    for unit in ("B", "kB", "MB"):
        if amount < _UNIT_BYTES:
            return f"{amount:.0f} {unit}"
        amount /= _UNIT_BYTES
    return f"{amount:.1f} GB"


def ago(moment: datetime | None) -> str:
    """Return how long ago something was: '3 h ago'."""
    return "never" if moment is None else f"{lasting((datetime.now(UTC) - moment).total_seconds())} ago"


def lasting(seconds: float | None) -> str:
    """Return a length of time by its largest unit."""
    if seconds is None:
        return ""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
