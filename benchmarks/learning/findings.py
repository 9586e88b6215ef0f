"""What a run leaves in a folder, and how it is shown: the document, its picture, and the rank of each event."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.learning.bars import bars, figures
from benchmarks.measuring import report
from models.backtest.contest import Contest
from tidegate import backtests
from tidegate.cli.shown import say_table

RESULT, RANKS, PICTURE = "result.json", "ranks.npz", "windows"
ABOUT = ("event", "user", "window", "alive", "cold")  # of the events; every other array is the ranks of a run

Ranks = dict[str, np.ndarray]


def ranks_of(contest: Contest) -> Ranks:
    """Return what there is to know of each event (M,), and the rank that each run gave it, as `method/seed`."""
    numbers = [window.number for window in contest.windows]
    found: Ranks = {}
    for run in contest.runs:
        event, rank, alive = run.ranks(numbers)
        found |= {"event": event, "alive": alive, f"{run.method}/{run.seed}": rank}
    if found:
        starts = [window.start for window in contest.windows]
        found["user"] = contest.log.user[found["event"]]
        found["window"] = np.searchsorted(starts, found["event"], side="right")
        found["cold"] = contest.parts["cold-items"][found["event"]]
    return found


def write(folder: Path, document: dict[str, Any], ranks: Ranks) -> None:
    """Write everything; whoever reads meanwhile finds whole files."""
    from benchmarks.learning.plot import draw

    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{RESULT}.part"
    draft.write_text(json.dumps(document))
    os.replace(draft, folder / RESULT)  # noqa: PTH105
    np.savez_compressed(folder / RANKS, **ranks)  # type: ignore[arg-type]
    if document["methods"]:
        draw(document, folder / f"{PICTURE}.svg")
        draw(document, folder / f"{PICTURE}.png")


def read(folder: Path) -> tuple[dict[str, Any], Ranks]:
    """Return what a run left. Raises OSError."""
    with np.load(folder / RANKS) as kept:
        return json.loads((folder / RESULT).read_text()), dict(kept)


def show(document: dict[str, Any], ours: str | None = None) -> None:
    """Print the tables, and the bars of one method last: the best one's unless another is named."""
    for table in backtests.tables(document):
        say_table(*table)
    named = ours or (backtests.best(document) or [""])[0]
    values = figures(document, named)
    report(f"learning {document['data']['name']} {named}", values, bars(document, values))
