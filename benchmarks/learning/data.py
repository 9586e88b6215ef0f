"""Which data set is meant, as a log and its windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.learning import journey, movielens, sessions, tables
from benchmarks.learning.texts import embedder
from models.backtest.columns import Columns, as_log
from models.backtest.log import EventLog
from models.backtest.prequential import Window, cut, cut_at
from models.text import TextEncoder
from tidegate.errors import IngestError

PACKAGED: dict[str, Callable[[], Columns]] = {
    "ml-100k": movielens.read,
    "complete-journey": journey.read,
    "complete-journey-quick": lambda: journey.read(quick=True),
}


@dataclass(frozen=True)
class Asked:
    """Hold what the command line says of the data."""

    data: str  # a name, a file or a folder
    items: Path | None = None
    repeats: bool | None = None
    text: str = "minilm"  # or none, or a folder with a checkpoint
    base_share: float = 0.7
    windows: int = 10
    first: int | None = None  # only so many windows


def load(asked: Asked, say: Callable[[str], None] = lambda _: None) -> tuple[EventLog, tuple[Window, ...]]:
    """Return the log and its windows. Raises IngestError, MissingPackage."""
    say(f"reading {asked.data}")
    columns, edges = read(asked)
    if not len(columns.user):
        raise IngestError(f"{asked.data} has no events.", "Give a file with some.")
    log = as_log(columns, _embed(asked.text, say))
    windows = cut(log, asked.base_share, asked.windows) if edges is None else cut_at(log, edges)
    return log, windows[: asked.first]


def read(asked: Asked) -> tuple[Columns, np.ndarray | None]:
    """Return the columns, and the boundaries of the windows where the data has its own."""
    if asked.data in PACKAGED:
        return PACKAGED[asked.data](), None
    path = Path(asked.data)
    if path.suffix == ".txt" or (path.is_dir() and sessions.periods(path)):
        return sessions.read(path)
    events, items = files(path)
    columns = tables.read(events, asked.items or items, asked.repeats)
    return replace(columns, repeats=columns.repeats if asked.repeats is None else asked.repeats), None


def files(path: Path) -> tuple[Path, Path | None]:
    """Return the file of events and that of items. Raises IngestError."""
    if not path.exists():
        names = ", ".join(PACKAGED)
        raise IngestError(f"There is no data {path}.", f"Give {names}, a file of events, or a folder with events.csv.")
    if path.is_file():
        return path, None
    events = tables.found_in(path, "events")
    if events is None:
        raise IngestError(f"{path} has no events.csv.", "Events may be .csv, .tsv, .jsonl or .parquet.")
    return events, tables.found_in(path, "items")


def _embed(text: str, say: Callable[[str], None]) -> Callable[..., np.ndarray] | None:
    if text == "none":
        return None
    return embedder(None if text == "minilm" else TextEncoder(text), say=say)
