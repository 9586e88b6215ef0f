"""Where the online store keeps a feature view: a wide table of its entity, a typed column for each feature.

A project has one table for each set of entities. Views of the same entities share it, so one row answers for all of
them; a view that has nothing for a row has no event timestamp there. Each column's comment says whose it is
(`view:feature`), and the table's comment says which project it belongs to: what names alone could confuse, comments
keep apart.

A table that somebody else keeps up to date is served as it is, or through a function of its keys; see `ServedTable`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_NAME
from feast.infra.online_stores.helpers import compute_versioned_name
from feast.value_type import ValueType
from psycopg import sql
from pydantic import BaseModel

from tidegate.stores.connections import schema_of
from tidegate.stores.statements import verbatim
from tidegate.stores.types import ColumnType, column_type, served_type

LONGEST = 63  # bytes in a name of PostgreSQL
EVENT_TIMESTAMP, CREATED = "event_timestamp", "created"
INDEXED = {
    "cosine": "vector_cosine_ops",
    "l2": "vector_l2_ops",
    "inner_product": "vector_ip_ops",
    "l1": "vector_l1_ops",
}
METRICS = {"euclidean": "l2", "ip": "inner_product", "dot": "inner_product"}  # other names of theirs
INDEXABLE = 2_000  # dimensions, by pgvector's HNSW
NAME = re.compile(r"[^()\s]+")
SEARCHED = {"real[]", "double precision[]"}  # what pgvector can be cast to


class ServedTable(BaseModel):
    """A table, view or function that somebody else keeps up to date, as a feature view.

    A function takes one array for each join key, in the keys' alphabetical order, and returns rows.
    """

    table: str = ""  # "schema.name"
    function: str = ""  # "schema.name"
    event_timestamp: str = "event_timestamp"
    keys: dict[str, str] = {}  # join key -> column, where the names differ
    columns: dict[str, str] = {}  # feature -> column or SQL expression, where it is not the column of its name


@dataclass(frozen=True)
class Column:
    """A column of a view; in a served table it may be an expression."""

    name: str
    type: ColumnType
    served: bool = False  # its name may be an expression; a feature of ours may be called as one

    @property
    def value(self) -> sql.Composable:
        """What to select."""
        expression = self.served and not NAME.fullmatch(self.name)
        return verbatim(f"({self.name})") if expression else sql.Identifier(self.name)


@dataclass(frozen=True)
class Place:
    """Where a feature view is kept."""

    view: str  # with its version, where versions are kept apart
    schema: str
    table: str
    entities: tuple[str, ...]
    keys: dict[str, Column]  # by join key, in alphabetical order: the primary key
    features: dict[str, Column]  # by feature
    event_timestamp: str
    created: str = ""  # empty: somebody else's table
    function: bool = False
    searched: dict[str, str] = field(default_factory=dict)  # column -> pgvector's operator class of its index

    @property
    def writable(self) -> bool:
        """Whether Feast may write here."""
        return bool(self.created)

    @cached_property
    def relation(self) -> sql.Identifier:
        """The table by its full name."""
        return sql.Identifier(self.schema, self.table)

    @cached_property
    def rows(self) -> sql.Composable:
        """What to select from, with the keys as $1, $2 and so on."""
        if not self.function:
            return self.relation
        arrays = (f"${number}::{key.type.stored}[]" for number, key in enumerate(self.keys.values(), 1))
        return sql.SQL("{}({}) as rows").format(self.relation, sql.SQL(", ".join(arrays)))


def place(config: Any, view: Any) -> Place:
    """Return where a feature view is kept."""
    served = config.online_store.tables.get(view.name)
    return _served(view, served) if served else _wide(config, view)


def join_keys(view: Any) -> dict[str, Any]:
    """Return the join keys of a view with their types, in alphabetical order."""
    kinds = {one.name: one.dtype.to_value_type() for one in view.entity_columns}
    return dict(sorted(kinds.items())) or {DUMMY_ENTITY_ID: ValueType.STRING}


def fields(view: Any) -> dict[str, Any]:
    """Return the features of a view as Feast's fields; of one made on demand, what it keeps of its sources too."""
    keys = join_keys(view)
    found = [*view.features, *(view.schema if hasattr(view, "write_to_online_store") else ())]
    return {one.name: one for one in found if one.name not in keys}


def view_name(config: Any, view: Any) -> str:
    """Return the name under which a view is kept: its own, or with its version."""
    return str(compute_versioned_name(view, config.registry.enable_online_feature_view_versioning))


def shortened(name: str) -> str:
    """Return a name that PostgreSQL does not cut: a long one ends in a hash of all of it."""
    encoded = name.encode()
    if len(encoded) <= LONGEST:
        return name
    return f"{encoded[: LONGEST - 9].decode(errors='ignore')}_{sha256(encoded).hexdigest()[:8]}"


def _wide(config: Any, view: Any) -> Place:
    name = view_name(config, view)
    entities = tuple(sorted(map(_entity_name, view.entities))) or (DUMMY_ENTITY_NAME,)
    return Place(
        view=name,
        schema=schema_of(config.online_store),
        table=shortened(f"{config.project}_{'_'.join(entities)}"),
        entities=entities,
        keys={key: Column(shortened(key), column_type(kind)) for key, kind in join_keys(view).items()},
        features={
            feature: Column(feature_column(name, feature), _field_type(config, one))
            for feature, one in fields(view).items()
        },
        event_timestamp=shortened(f"{name}__{EVENT_TIMESTAMP}"),
        created=shortened(f"{name}__{CREATED}"),
        searched=_searched(config, name, view),
    )


def feature_column(view: str, feature: str) -> str:
    """Return the column of a feature; one that is called as a column of ours gets a longer name."""
    return shortened(f"{view}__{feature}" + ("__feature" if feature in {EVENT_TIMESTAMP, CREATED} else ""))


def _field_type(config: Any, one: Any) -> ColumnType:
    """Return the type of a feature's column: pgvector's where the feature shall be searched by distance."""
    kind = column_type(one.dtype.to_value_type())
    if config.online_store.vector_enabled and one.vector_index and kind.stored in SEARCHED:
        length = f"({one.vector_length})" if one.vector_length else ""
        return replace(kind, stored=f"vector{length}")
    return kind


def _searched(config: Any, name: str, view: Any) -> dict[str, str]:
    """Return the columns that get an index for search by distance, with its operator class."""
    if not config.online_store.vector_enabled:
        return {}
    wanted = [one for one in fields(view).values() if one.vector_index and 0 < one.vector_length <= INDEXABLE]
    metrics = {one.name: metric_of(one.vector_search_metric or config.online_store.similarity) for one in wanted}
    return {feature_column(name, feature): INDEXED[metric] for feature, metric in metrics.items()}


def metric_of(name: str | None) -> str:
    """Return a metric by the name that Feast, or anybody, gives it. Raises ValueError for one that pgvector lacks."""
    lower = (name or "cosine").lower()
    metric = METRICS.get(lower, lower)
    if metric not in INDEXED:
        raise ValueError(f"pgvector has no distance {name!r}. Use one of {sorted(INDEXED)}.")
    return metric


def _served(view: Any, served: ServedTable) -> Place:
    schema, _, table = (served.function or served.table).rpartition(".")
    kinds = {one: served_type(given.dtype.to_value_type()) for one, given in fields(view).items()}
    return Place(
        view=view.name,
        schema=schema or "public",
        table=table,
        entities=tuple(map(_entity_name, view.entities)),
        keys={key: Column(served.keys.get(key, key), column_type(kind), True) for key, kind in join_keys(view).items()},
        features={feature: Column(served.columns.get(feature, feature), kind, True) for feature, kind in kinds.items()},
        event_timestamp=served.event_timestamp,
        function=bool(served.function),
    )


def _entity_name(entity: Any) -> str:
    return entity if isinstance(entity, str) else str(entity.name)
