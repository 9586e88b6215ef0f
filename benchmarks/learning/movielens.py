"""MovieLens 100k, out of the installed package recbole, whose code is not run.

Harper and Konstan 2015, "The MovieLens Datasets". GroupLens forbids redistribution: the files are read, never copied.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from models.backtest.columns import Columns, Item, all_of
from tidegate.errors import MissingPackage
from tidegate.readers import open_source


def folder() -> Path:
    """Return where the package keeps the data. Raises MissingPackage."""
    found = find_spec("recbole")
    if found is None or not found.submodule_search_locations:
        raise MissingPackage("MovieLens 100k is in the package recbole: pip install --no-deps recbole==1.2.1.")
    return Path(found.submodule_search_locations[0]) / "dataset_example" / "ml-100k"


def read() -> Columns:
    """Return the ratings as events. Nobody rates a film twice."""
    rows = list(open_source(folder() / "ml-100k.inter").rows())
    films = open_source(folder() / "ml-100k.item").rows()
    return Columns(
        user=np.array([row["user_id:token"] for row in rows]),
        item=np.array([row["item_id:token"] for row in rows]),
        time=np.array([float(row["timestamp:float"]) for row in rows]),
        type=all_of("rating", len(rows)),
        value=np.array([float(row["rating:float"]) for row in rows], dtype=np.float32),
        items={row["item_id:token"]: film(row) for row in films},
        repeats=False,
    )


def film(row: dict[str, Any]) -> Item:
    """Return what is known of a film; when it came to the site is not."""
    genres = row["class:token_seq"]
    year = row["release_year:token"]
    return Item(f"{row['movie_title:token_seq']} ({year}) | {genres}", genres.split(" ")[0] if genres else "")
