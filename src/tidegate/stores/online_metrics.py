"""Feast's own figures of reads, as its own way of reading counts them: their seconds, and what each view had.

They are off unless somebody switched them on, and then `feast.metrics` is imported: to import it is to set where
Prometheus keeps its files, which is not ours to do.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tidegate.stores.online_read import Plan
from tidegate.stores.online_response import PRESENT, Block


def tracked() -> Any:
    """Return `feast.metrics` where reads are counted, else None."""
    metrics = sys.modules.get("feast.metrics")
    return metrics if metrics is not None and metrics._config.online_features else None  # noqa: SLF001


def track_read(metrics: Any, plan: Plan, blocks: Iterable[Block], seconds: float) -> None:
    """Count a read and what it found."""
    metrics.track_online_store_read(seconds)
    track_statuses(metrics, plan, blocks)


def track_statuses(metrics: Any, plan: Plan, blocks: Iterable[Block]) -> None:
    """Count the values of each view that were found, and those that were not."""
    for part, block in zip(plan.parts, blocks, strict=True):
        found, asked = block.statuses.count(PRESENT), len(block.statuses)
        metrics.track_feature_statuses(part.view, found * len(block.names), (asked - found) * len(block.names))
