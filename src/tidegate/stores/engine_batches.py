"""Materialising by way of this process: what only Feast's protos hold, or what lies in another database.

The database still picks the newest row of each key; they arrive in batches, and memory is that of one batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.type_map import python_values_to_proto_values
from feast.utils import _validate_vector_field_lengths
from feast.value_type import ValueType
from psycopg.sql import SQL, Composable, Composed, Identifier

from tidegate.stores.offline.job import TidegateRetrievalJob
from tidegate.stores.offline.join import View, newest_first
from tidegate.stores.offline.store import moment, source_of
from tidegate.stores.online_tables import fields, join_keys
from tidegate.stores.online_write import Row
from tidegate.stores.statements import AND, column, commas, statement

BLOCK = 1 << 20  # bytes of text that are turned into protos at once
NO_KEY: Composable = SQL(f"'{DUMMY_ENTITY_VAL}'::text")  # the key of a view without entities
DOCUMENTS = {ValueType.VALUE_LIST, ValueType.VALUE_SET}  # of which Feast parses no text itself
READ = {ValueType.DECIMAL: "{}::text", ValueType.DECIMAL_LIST: "{}::text[]", ValueType.DECIMAL_SET: "{}::text[]"}
READ |= dict.fromkeys(DOCUMENTS, "to_json({})::text")


def source_of_view(view: Any) -> View:
    """Return a view's source with the columns that its keys and features come from, in the order of an online table."""
    source = view.batch_source
    column_of = {name: row for row, name in source.field_mapping.items()}
    keys = [key for key in join_keys(view) if key != DUMMY_ENTITY_ID]
    return View(
        name=view.name,
        source=source_of(source),
        keys={column_of.get(key, key): key for key in keys},
        features={feature: column_of.get(feature, feature) for feature in fields(view)},
        timestamp=column_of.get(source.timestamp_field, source.timestamp_field),
        created=column_of.get(source.created_timestamp_column, source.created_timestamp_column) or None,
        ttl=0,
    )


def newest(source: View, keys: Sequence[Composable], values: Sequence[Composable], first: Any, last: Any) -> Composed:
    """Return the statement of each key's newest row within a closed range: the values, then the two times."""
    created = column("s", source.created) if source.created else SQL("null::timestamptz")
    return statement(
        "engine",
        "newest",
        keys=commas(keys),
        values=commas([*values, column("s", source.timestamp), created]),
        source=source.table,
        timestamp=column("s", source.timestamp),
        first=moment(first),
        last=moment(last),
        known=AND.join(SQL("{} is not null").format(key) for key in keys),
        newest_first=newest_first(source),
    )


def write_in_batches(config: Any, online_store: Any, view: Any, first: Any, last: Any) -> int:
    """Write the newest row of each key to an online store; return how many there were."""
    job = TidegateRetrievalJob(config, lambda _: _wanted(view, first, last))
    written = 0
    for batch in job.to_batches(BLOCK):
        _validate_vector_field_lengths(batch, view)
        online_store.online_write_batch(config, view, list(_rows(view, batch)), lambda _: None)
        written += batch.num_rows
    return written


def _wanted(view: Any, first: Any, last: Any) -> Composed:
    source = source_of_view(view)
    keys: dict[str, Composable] = {key: column("s", row) for row, key in source.keys.items()}
    keys = keys or {DUMMY_ENTITY_ID: NO_KEY}
    features = {name: _read(one, source.features[name]) for name, one in fields(view).items()}
    named = [SQL("{} as {}").format(value, Identifier(name)) for name, value in [*keys.items(), *features.items()]]
    return newest(source, list(keys.values()), named, first, last)


def _read(feature: Any, row: str) -> Composable:
    """Return how a feature is read: what would lose its digits or its depth in the client's types is text."""
    return SQL(READ.get(feature.dtype.to_value_type(), "{}")).format(column("s", row))


def _rows(view: Any, batch: pa.RecordBatch) -> Iterator[Row]:
    """Yield a batch's rows as Feast's online stores take them."""
    keys, features = join_keys(view), fields(view)
    kinds = [*keys.values(), *(one.dtype.to_value_type() for one in features.values())]
    *columns, times, created = (values.to_pylist() for values in batch.columns)
    protos = [_protos(values, kind) for values, kind in zip(columns, kinds, strict=True)]
    entities = zip(*protos[: len(keys)], strict=True)
    rows = zip(*protos[len(keys) :], strict=True) if features else iter([()] * batch.num_rows)
    for entity, values, time, written in zip(entities, rows, times, created, strict=True):
        yield (
            EntityKey(join_keys=list(keys), entity_values=entity),
            dict(zip(features, values, strict=False)),
            time,
            written,
        )


def _protos(values: list[Any], kind: Any) -> list[Any]:
    parsed = list(map(_document, values)) if kind in DOCUMENTS else values
    protos: list[Any] = python_values_to_proto_values(parsed, kind)
    return protos


def _document(text: str | None) -> Any:
    """Return what a document holds; a source may keep it as text."""
    found = None if text is None else json.loads(text)
    return json.loads(found) if isinstance(found, str) else found
