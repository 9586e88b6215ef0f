"""Requests as they come in, and what is known of each shape of them.

A shape is what a request asks for, without whom it asks about: a feature service or references, and whether names
are full. An application sends a handful of shapes a million times, so what the registry says of one is looked up
once for each version of the registry that this process holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from feast import FeatureService, FeatureStore
from feast.infra.feature_servers.base_config import MetricsConfig
from feast.value_type import ValueType
from starlette.concurrency import run_in_threadpool

from tidegate.stores import online_read
from tidegate.stores.online import TidegateOnlineStore
from tidegate.stores.online_response import Block
from tidegate.stores.server_figures import Figures
from tidegate.stores.types import ColumnType

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

    reading: online_read.Plan | None  # None: only Feast's own way can answer
    keys: dict[str, ColumnType]  # the join keys that a request has to name
    views: tuple[str, ...]  # in the answer's order
    figures: Figures

    def fits(self, entities: Entities) -> bool:
        """Tell whether a request names exactly the keys, in their types; for anything else ask Feast."""
        return entities.keys() == self.keys.keys() and all(
            FITS[key.number](entities[name]) for name, key in self.keys.items()
        )


def of_integers(values: list[Any]) -> bool:
    """Tell whether all values are integers of 64 bits."""
    return set(map(type, values)) == {int} and min(values) >= -(2**63) and max(values) < 2**63


def of_texts(values: list[Any]) -> bool:
    """Tell whether all values are texts that PostgreSQL can hold."""
    return set(map(type, values)) == {str} and "\0" not in "".join(values)


FITS: dict[int, Callable[[list[Any]], bool]] = {  # by the number of the key's type
    ValueType.INT64.value: of_integers,
    ValueType.STRING.value: of_texts,
}


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


def views_of(reading: online_read.Plan | None) -> tuple[str, ...]:
    """Return the names of a plan's views in the answer's order."""
    parts = [] if reading is None else [part for read in reading.reads for part in read.parts]
    return tuple(part.version.view for part in sorted(parts, key=lambda part: part.order))


class Plans:
    """The plans of one store, as of the registry that it holds."""

    def __init__(self, store: FeatureStore, online: TidegateOnlineStore) -> None:
        self._store = store
        self._online = online
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

    async def read(self, reading: online_read.Plan, entities: Entities) -> list[Block]:
        """Return the features of entities that fit a plan, one block a view."""
        return await self._online.read_async(self._store.config, reading, entities)

    async def _current(self) -> datetime | None:
        """Return the age of the registry; one past its lifetime is read again, by one request, off the loop."""
        registry = self._store.registry
        if not registry.is_cache_valid():
            async with self._refreshing:
                if not registry.is_cache_valid():
                    await run_in_threadpool(self._store.refresh_registry)
        return getattr(registry, "cached_registry_proto_created", None)

    def _make(self, shape: Shape) -> Plan:
        store, features = self._store, self._features(shape)
        reading = self._online.reading(store.config, features, store.registry, store.project, shape.full_names)
        keys = {} if reading is None else reading.keys
        plain = FITS.keys() >= {key.number for key in keys.values()}
        return Plan(reading if plain else None, keys, views_of(reading), Figures(features, self._bins))

    def _features(self, shape: Shape) -> FeatureService | list[str]:
        if shape.service:
            return self._store.get_feature_service(shape.service, allow_cache=True)
        return list(shape.features)
