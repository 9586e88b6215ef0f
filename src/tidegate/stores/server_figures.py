"""Feast's own figures for Prometheus, kept for requests that go the short way.

Feast's route looks the labels of each figure up and writes nine numbers to a shared file for each request, a tenth of
what a small answer costs. Here the numbers grow in memory and are written once a second, and when somebody looks.
"""

from __future__ import annotations

import asyncio
import atexit
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from feast import FeatureService, FeatureStore, feature_server
from feast import metrics as feast_metrics
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

from tidegate.stores.online_response import PRESENT, Block

ROUTE = "/get-online-features"
SECONDS = 1.0  # between two writes


class Counted:
    """What a counter has grown by since it was written."""

    def __init__(self, counter: Any) -> None:
        self._counter = counter
        self._grown = 0
        _growing.append(self)

    def add(self, number: int) -> None:
        """Count so many."""
        self._grown += number

    def write(self) -> None:
        """Write it to the counter."""
        grown, self._grown = self._grown, 0
        if grown:
            self._counter.inc(grown)


class Observed:
    """What a histogram has grown by since it was written."""

    def __init__(self, histogram: Any) -> None:
        self._histogram = histogram
        self._bounds = tuple(histogram._upper_bounds)  # noqa: SLF001  # it has no other way to take several at once
        self._clear()
        _growing.append(self)

    def add(self, value: float) -> None:
        """Take one value."""
        self._grown[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def write(self) -> None:
        """Write it to the histogram."""
        grown, total = self._grown, self._sum
        self._clear()
        if not any(grown):
            return
        for bucket, number in zip(self._histogram._buckets, grown, strict=True):  # noqa: SLF001
            if number:
                bucket.inc(number)
        self._histogram._sum.inc(total)  # noqa: SLF001

    def _clear(self) -> None:
        self._grown = [0] * len(self._bounds)
        self._sum = 0.0


_growing: list[Counted | Observed] = []
_loop: asyncio.AbstractEventLoop | None = None  # where a write is due


def write_soon() -> None:
    """Have what has grown written within a second."""
    global _loop
    loop = asyncio.get_running_loop()
    if loop is not _loop:
        _loop = loop
        loop.call_later(SECONDS, write)


def write() -> None:
    """Write what has grown. Call it where the figures grow: in the event loop's thread."""
    global _loop
    _loop = None
    for one in _growing:
        one.write()


atexit.register(write)


class Figures:
    """The figures of one shape of request."""

    def __init__(self, features: FeatureService | list[str], bins: list[int]) -> None:
        asked, views = feature_server._resolve_feature_counts(features)  # noqa: SLF001  # the labels of Feast's route
        self._seconds = seconds(feature_server.bin_feature_count(int(asked), bins), views)

    def count(self, outcome: str, rows: int, taken: float) -> None:
        """Count a request that was answered or failed: the rows that it asked for, the seconds that it took."""
        switches = feast_metrics._config  # noqa: SLF001  # the switches of Feast's metrics
        if switches.online_features:
            reads().add(1)
            read_rows().add(rows)
        if switches.request:
            requests(outcome).add(1)
            self._seconds.add(taken)
        write_soon()


def count_read(views: Sequence[str], blocks: Iterable[Block], taken: float) -> None:
    """Count a read of the online store by its seconds, and what it found of each view."""
    if not feast_metrics._config.online_features:  # noqa: SLF001
        return
    read_seconds().add(taken)
    for view, block in zip(views, blocks, strict=True):
        there = block.statuses.count(PRESENT)
        if there:
            found(view, "present").add(there * len(block.names))
        if there < len(block.statuses):
            found(view, "not_found").add((len(block.statuses) - there) * len(block.names))


@cache
def seconds(feature_count: str, view_count: str) -> Observed:
    """Return the figure of how long requests took."""
    labels = {"feature_count": feature_count, "feature_view_count": view_count}
    return Observed(feast_metrics.request_latency.labels(endpoint=ROUTE, **labels))


@cache
def requests(outcome: str) -> Counted:
    """Return the figure that counts requests by their outcome."""
    return Counted(feast_metrics.request_count.labels(endpoint=ROUTE, status=outcome))


@cache
def reads() -> Counted:
    """Return the figure that counts requests for features."""
    return Counted(feast_metrics.online_features_request_count)


@cache
def read_rows() -> Observed:
    """Return the figure of how many rows were asked for at once."""
    return Observed(feast_metrics.online_features_entity_count)


@cache
def read_seconds() -> Observed:
    """Return the figure of how long the online store took."""
    return Observed(feast_metrics.online_store_read_duration_seconds)


@cache
def found(view: str, status: str) -> Counted:
    """Return the figure that counts a view's values by whether they were there."""
    return Counted(feast_metrics.online_features_status_total.labels(feature_view=view, status=status))


def count_everything(store: FeatureStore) -> None:
    """Switch Feast's own figures on, as `feature_server.metrics` in feature_store.yaml says, or all of them."""
    configured = getattr(getattr(store.config, "feature_server", None), "metrics", None)
    feast_metrics._config = feast_metrics.build_metrics_flags(configured)  # noqa: SLF001  # as start_metrics_server does


def page() -> bytes:
    """Return the figures for Prometheus: those of all workers where several serve."""
    return generate_latest(collected())


def collected() -> CollectorRegistry:
    """Return where the figures are: in files that all workers share, or in this process."""
    if not getattr(values.ValueClass, "_multiprocess", False):
        return REGISTRY
    shared = CollectorRegistry()
    MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
    return shared
