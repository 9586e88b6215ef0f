"""Which method learns best: `python -m benchmarks.learning --data ml-100k --methods baselines --seeds 3`.

Prints a table, and the bars as one JSON line last. With `--out FOLDER` the whole document, its picture and the rank of
each event are written there after every method, so that a run that is stopped leaves what it had.
"""

from __future__ import annotations

import argparse
import ast
import logging
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.learning import data, findings
from models.backtest.contest import Contest, Heard, compete
from models.backtest.registry import GROUPS, MethodSettings, named
from models.backtest.report import document
from models.errors import ModelError
from tidegate.errors import TidegateError


def main() -> None:
    """Run the methods, print the table, and the bars last."""
    asked = arguments().parse_args()
    console = Console(stderr=True)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        found = run(asked, console)
    except (TidegateError, ModelError) as error:
        sys.exit(f"benchmarks.learning: {error}")
    findings.show(found, asked.ours)
    if found["failed"]:
        sys.exit(1)


def arguments() -> argparse.ArgumentParser:
    """Return what the command line understands."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", default="ml-100k", help=f"{', '.join(data.PACKAGED)}, a file of events or a folder")
    add("--items", type=Path, help="a file of items, where the data is a file of events")
    add("--methods", nargs="+", default=["all"], help=f"names, or {', '.join(GROUPS)}, all; default: all")
    add("--seeds", type=int, default=3)
    add("--windows", type=int, default=10, help="windows of equal length in time; default: 10")
    add("--base-share", type=float, default=0.7, help="of the time span; default: 0.7")
    add("--first", type=int, help="stop after so many windows")
    add("--text", default="minilm", help="minilm, none, or the folder of a checkpoint; default: minilm")
    add("--repeats", action=argparse.BooleanOptionalAction, help="whether people take things again; default: as found")
    add("--set", nargs="*", default=[], metavar="METHOD.OPTION=VALUE", help="options that are not to be chosen")
    add("--ours", help="the method that the bars are about; default: the best one")
    add("--device", default="cpu")
    add("--threads", type=int, default=1)
    add("--out", type=Path, help="a folder for the document, the picture and the ranks")
    return parser


def run(asked: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Return the document of the run."""
    wanted = data.Asked(
        asked.data, asked.items, asked.repeats, asked.text, asked.base_share, asked.windows, asked.first
    )
    log, windows = data.load(wanted, console.print)
    names = named(asked.methods, log.repeats)
    settings = MethodSettings(device=asked.device, threads=asked.threads)
    with showing(console, len(names)) as heard:
        for contest in compete(log, windows, names, asked.seeds, options(asked.set), settings, heard):
            if asked.out:
                keep(asked.out, document(contest, title(asked.data)), contest)
    return document(contest, title(asked.data))


def options(said: list[str]) -> dict[str, dict[str, Any]]:
    """Return the options of `method.option=value`, the value as Python writes it, or else as it stands."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for text in said:
        name, _, value = text.partition("=")
        method, _, option = name.partition(".")
        try:
            found[method][option] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            found[method][option] = value
    return dict(found)


def title(name: str) -> str:
    """Return what the data is called."""
    return name if name in data.PACKAGED else Path(name).stem


@contextmanager
def showing(console: Console, methods: int) -> Iterator[Heard]:
    """Show how far it is: bars on a terminal, a line for each course in a file."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[what]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        whole = progress.add_task("methods", total=methods, what="")
        now = progress.add_task("", total=1, what="")
        seen: list[str] = []

        def heard(method: str, what: str, done: int, total: int) -> None:
            if method not in seen:
                seen.append(method)
            if not done and not console.is_terminal:
                console.print(f"{method}: {what}")
            progress.update(whole, completed=len(seen) - 1, what=f"{len(seen)} of {methods}")
            progress.update(now, description=method, completed=done, total=total, what=what)

        yield heard


def keep(folder: Path, found: dict[str, Any], contest: Contest) -> None:
    """Write the document, the picture and the rank of each event."""
    findings.write(folder, found, findings.ranks_of(contest))


if __name__ == "__main__":
    main()
