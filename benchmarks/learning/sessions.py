"""Session data: lines of `session item`, in the order in which they happened.

A folder with one file a period (`period_0.txt`, `period_1.txt` ...; `week_N.txt` too) is the layout of ADER (Mi, Lin,
Faltings 2020, "ADER: Adaptively Distilled Exemplar Replay"): the first period is the base, each later one a window.
Where a period is parted into `train_N.txt`, `valid_N.txt` and `test_N.txt`, it is those together. As in ADER, an item
that nobody had taken before a period is not asked for in it, and no item has text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from models.backtest.columns import Columns, all_of
from tidegate.errors import IngestError

PERIOD = 7 * 86_400.0  # seconds; the files say only what came before what
NAME = re.compile(r"(period|week|train|valid|test)_(\d+)\.txt")
PARTS = ("period", "week", "train", "valid", "test")  # the order of the files of one period


def periods(folder: Path) -> dict[int, list[Path]]:
    """Return the files of each period in order; nothing where the folder is not laid out so."""
    named = [(match, file) for file in folder.glob("*_*.txt") if (match := NAME.fullmatch(file.name))]
    named.sort(key=lambda pair: (int(pair[0][2]), PARTS.index(pair[0][1])))
    found: dict[int, list[Path]] = {}
    for match, file in named:
        found.setdefault(int(match[2]), []).append(file)
    return found


def read(path: Path) -> tuple[Columns, np.ndarray | None]:
    """Return the clicks of a file or a folder, and the boundaries of the periods (unix seconds). Raises IngestError."""
    if path.is_file():
        return columns([[path]]), None
    files = list(periods(path).values())
    if len(files) < 2:
        raise IngestError(f"{path} has {len(files)} periods.", "Two are needed: period_0.txt is learned first.")
    return columns(files), PERIOD * np.arange(1, len(files) + 1)


def columns(files: list[list[Path]]) -> Columns:
    """Return the clicks of several periods. Events of a period are spread over it evenly."""
    sessions: list[str] = []
    items: list[str] = []
    times = [np.zeros(0)]
    for number, parts in enumerate(files):
        lines = [line for file in parts for line in pairs(file)]
        sessions += [f"{number}:{session}" for session, _ in lines]
        items += [item for _, item in lines]
        times.append(PERIOD * (number + (np.arange(len(lines)) + 0.5) / max(1, len(lines))))
    return Columns(
        user=np.array(sessions),
        item=np.array(items),
        time=np.concatenate(times),
        type=all_of("click", len(items)),
        value=np.full(len(items), np.nan, dtype=np.float32),
        repeats=True,
        sessions=True,
        known_only=True,
    )


def pairs(file: Path) -> Iterator[tuple[str, str]]:
    """Yield (session, item) of each line. Raises IngestError."""
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        cells = line.replace(",", " ").split()
        if len(cells) != 2:
            raise IngestError(f"{file.name}, line {number}: {line!r}.", "Write a session and an item, nothing else.")
        yield cells[0], cells[1]
