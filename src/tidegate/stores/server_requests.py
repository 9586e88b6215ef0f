"""Requests as they come in, and what is known of each shape of them.

A shape is what a request asks for, without whom it asks about: a feature service or references, and whether names
are full. An application sends a handful of shapes a million times, so what the registry says of one is looked up
once for each version of the registry that this process holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Any, NamedTuple

import orjson
from feast import FeatureService, FeatureStore, feature_server, utils
from feast import metrics as feast_metrics
from feast.infra.feature_servers.base_config import MetricsConfig
from feast.value_type import ValueType
from starlette.concurrency import run_in_threadpool

ROUTE = "/get-online-features"
REQUESTS = {
    status: feast_metrics.request_count.labels(endpoint=ROUTE, status=status) for status in ("success", "error")
}
SHAPES = 1_000  # remembered; who sends more makes them up
Entities = dict[str, list[Any]]


class Shape(NamedTuple):
    """What a request asks for."""

    service: str
    features: tuple[str, ...]
    full_names: bool


class Asked(NamedTuple):
    """A request that the short way may answer."""

    shape: Shape
    entities: Entities

    @property
    def rows(self) -> int:
        """How many entities it asks about."""
        return len(next(iter(self.entities.values())))


@dataclass(frozen=True)
class Plan:
    """What the registry says of a shape."""

    features: FeatureService | list[str]
    keys: dict[str, ValueType]  # the join keys that a request has to name, and their types
    plain: bool  # no on-demand view, no view without an entity
    seconds: Any  # the figure of Feast's metrics that takes the time of such requests

    def fits(self, entities: Entities) -> bool:
        """Tell whether a request names exactly the keys, in their types; for anything else ask Feast."""
        return (
            self.plain
            and entities.keys() == self.keys.keys()
            and all(FITS[kind](entities[key]) for key, kind in self.keys.items())
        )

    @contextmanager
    def counted(self, rows: int) -> Iterator[None]:
        """Count a request in Feast's own metrics, as its route does, without looking their labels up."""
        if not feast_metrics._config.request:  # noqa: SLF001  # the switch of Feast's metrics
            yield
            return
        feast_metrics.track_online_features_entities(rows)
        began, outcome = perf_counter(), "error"
        try:
            yield
            outcome = "success"
        finally:
            REQUESTS[outcome].inc()
            self.seconds.observe(perf_counter() - began)


def of_integers(values: list[Any]) -> bool:
    """Tell whether all values are integers of 64 bits."""
    return set(map(type, values)) == {int} and min(values) >= -(2**63) and max(values) < 2**63


def of_texts(values: list[Any]) -> bool:
    """Tell whether all values are texts that PostgreSQL can hold."""
    return set(map(type, values)) == {str} and "\0" not in "".join(values)


FITS: dict[ValueType, Callable[[list[Any]], bool]] = {ValueType.INT64: of_integers, ValueType.STRING: of_texts}


def read(body: bytes) -> Asked | None:
    """Return a request of the usual form; None for any other, which Feast's own route knows how to answer."""
    try:
        given = orjson.loads(body)
        shape = Shape(
            given.get("feature_service") or "",
            tuple(given.get("features") or ()),
            given.get("full_feature_names", False),
        )
        entities = given["entities"]
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return None
    usual = usual_shape(shape) and usual_entities(entities) and not given.get("include_feature_view_version_metadata")
    return Asked(shape, entities) if usual else None


def usual_shape(shape: Shape) -> bool:
    """Tell whether a shape has the types that Feast asks for, and names something."""
    typed = isinstance(shape.service, str) and isinstance(shape.full_names, bool)
    return typed and all(isinstance(name, str) for name in shape.features) and bool(shape.service or shape.features)


def usual_entities(entities: Any) -> bool:
    """Tell whether entities are lists of one length, and not empty."""
    if not isinstance(entities, dict) or not all(isinstance(values, list) for values in entities.values()):
        return False
    lengths = {len(values) for values in entities.values()}
    return len(lengths) == 1 and 0 not in lengths


class Plans:
    """The plans of one store, as of the registry that it holds."""

    def __init__(self, store: FeatureStore) -> None:
        self._store = store
        self._as_of: datetime | None = None
        self._plans: dict[Shape, Plan] = {}
        self._refreshing = asyncio.Lock()
        metrics = getattr(getattr(store.config, "feature_server", None), "metrics", None)
        self._bins = getattr(metrics, "feature_count_bins", MetricsConfig().feature_count_bins)

    async def plan(self, shape: Shape) -> Plan:
        """Return the plan of a shape. Raises what Feast raises where something is unknown."""
        as_of = await self._current()
        if as_of != self._as_of or len(self._plans) >= SHAPES:
            self._plans, self._as_of = {}, as_of
        plan = self._plans.get(shape)
        if plan is None:
            plan = self._plans[shape] = await run_in_threadpool(self._make, shape)
        return plan

    async def _current(self) -> datetime | None:
        """Return the age of the registry; one past its lifetime is read again, by one request, off the loop."""
        registry = self._store.registry
        if not registry.is_cache_valid():
            async with self._refreshing:
                if not registry.is_cache_valid():
                    await run_in_threadpool(self._store.refresh_registry)
        return getattr(registry, "cached_registry_proto_created", None)

    def _make(self, shape: Shape) -> Plan:
        features = self._features(shape)
        context = utils._get_cached_request_context(  # noqa: SLF001  # what Feast's own server asks
            self._store.registry, self._store.project, features, shape.full_names
        )
        _, on_demand, _, keys, _, _, _, request_data, without_entity = context
        return Plan(
            features=features,
            keys=keys,
            plain=not (on_demand or request_data or without_entity) and FITS.keys() >= set(keys.values()),
            seconds=self._seconds(features),
        )

    def _seconds(self, features: FeatureService | list[str]) -> Any:
        asked, views = feature_server._resolve_feature_counts(features)  # noqa: SLF001  # the labels of Feast's route
        features_asked = feature_server.bin_feature_count(int(asked), self._bins)
        return feast_metrics.request_latency.labels(
            endpoint=ROUTE, feature_count=features_asked, feature_view_count=views
        )

    def _features(self, shape: Shape) -> FeatureService | list[str]:
        if shape.service:
            return self._store.get_feature_service(shape.service, allow_cache=True)
        return list(shape.features)
