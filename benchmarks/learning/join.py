"""Several runs on the same windows as one: `python -m benchmarks.learning.join RUN RUN … --out FOLDER`.

A table of thirty methods takes hours; it may be made a few methods at a time, each with `--out`. Where a method is in
several runs, the last one counts. Comparisons are made anew from the ranks, over the same users for all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.learning import findings
from benchmarks.learning.findings import ABOUT, Ranks
from models.backtest.bootstrap import differences
from models.backtest.figures import gains
from models.backtest.report import COMPARED, compared
from tidegate.errors import BadRequest, TidegateError


def join(runs: Sequence[tuple[dict[str, Any], Ranks]]) -> tuple[dict[str, Any], Ranks]:
    """Return the runs as one. Raises BadRequest where they are not of the same events."""
    whole, ranks = dict(runs[0][0]), dict(runs[0][1])
    for document, others in runs[1:]:
        check(whole, document)
        whole = joined(whole, document)
        replaced = tuple(f"{name}/" for name in document["methods"])
        ranks = {name: array for name, array in ranks.items() if not name.startswith(replaced)} | others
    whole["comparisons"] = comparisons(whole, ranks)
    return whole, ranks


def check(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Raise BadRequest where two runs cannot be compared."""
    for part in ("data", "windows", "reported"):
        if one[part] != other[part]:
            raise BadRequest(f"The runs differ in their {part}.", "Join runs of the same data, windows and base share.")


def joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return two documents as one; what the second says of a method replaces what the first said."""
    again = set(other["methods"])
    return one | {
        "methods": one["methods"] | other["methods"],
        "failed": {name: why for name, why in (one["failed"] | other["failed"]).items() if name not in again},
        "tried": [t for t in one["tried"] if t["method"] not in again] + other["tried"],
        "rows": [row for row in one["rows"] if row[0] not in again] + other["rows"],
    }


def comparisons(document: dict[str, Any], ranks: Ranks) -> list[dict[str, Any]]:
    """Compare every two methods on the reported windows."""
    reported = np.isin(ranks["window"], document["reported"])
    names = list(document["methods"])
    found = []
    for metric, segment in COMPARED:
        inside = reported & ranks["cold"] if segment else reported
        earned = np.stack([gain(name, metric, ranks)[inside] for name in names])
        label = f"{metric}/{segment}" if segment else metric
        found += compared(label, differences(names, earned, ranks["user"][inside]))
    return found


def gain(method: str, metric: str, ranks: Ranks) -> np.ndarray:
    """Return what a method earned with each event (M,), as a mean over its seeds."""
    runs = [array for name, array in ranks.items() if name not in ABOUT and name.rpartition("/")[0] == method]
    return np.mean([gains(rank, ranks["alive"])[metric] for rank in runs], axis=0)


def main() -> None:
    """Join the runs, print the tables and the bars."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning.join", description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--ours")
    asked = parser.parse_args()
    try:
        document, ranks = join([findings.read(folder) for folder in asked.runs])
    except (TidegateError, OSError) as error:
        sys.exit(f"benchmarks.learning.join: {error}")
    findings.write(asked.out, document, ranks)
    findings.show(document, asked.ours)


if __name__ == "__main__":
    main()
