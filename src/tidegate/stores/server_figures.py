"""Feast's own figures for Prometheus, kept for requests that go the short way.

Feast's route looks the labels of each figure up for each request; here that is done once for each shape of request.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from feast import FeatureService, FeatureStore, feature_server
from feast import metrics as feast_metrics
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

from tidegate.stores.online_response import PRESENT, Block

ROUTE = "/get-online-features"


class Figures:
    """The figures of one shape of request."""

    def __init__(self, features: FeatureService | list[str], bins: list[int]) -> None:
        asked, views = feature_server._resolve_feature_counts(features)  # noqa: SLF001  # the labels of Feast's route
        labels = {"feature_count": feature_server.bin_feature_count(int(asked), bins), "feature_view_count": views}
        self._seconds = feast_metrics.request_latency.labels(endpoint=ROUTE, **labels)

    def count(self, outcome: str, rows: int, seconds: float) -> None:
        """Count a request that was answered or failed, and the rows that it asked for."""
        feast_metrics.track_online_features_entities(rows)
        if feast_metrics._config.request:  # noqa: SLF001  # the switch of Feast's metrics
            requests(outcome).inc()
            self._seconds.observe(seconds)


def count_read(views: Sequence[str], blocks: Iterable[Block], seconds: float) -> None:
    """Count a read of the online store, and what it found of each view."""
    if not feast_metrics._config.online_features:  # noqa: SLF001
        return
    feast_metrics.track_online_store_read(seconds)
    for view, block in zip(views, blocks, strict=True):
        there = block.statuses.count(PRESENT)
        for status, rows in (("present", there), ("not_found", len(block.statuses) - there)):
            if rows:
                found(view, status).inc(rows * len(block.names))


@cache
def requests(outcome: str) -> Any:
    """Return the figure that counts requests by their outcome."""
    return feast_metrics.request_count.labels(endpoint=ROUTE, status=outcome)


@cache
def found(view: str, status: str) -> Any:
    """Return the figure that counts a view's values by whether they were there."""
    return feast_metrics.online_features_status_total.labels(feature_view=view, status=status)


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
