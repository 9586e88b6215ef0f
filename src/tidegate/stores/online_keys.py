"""A request's entity rows as typed columns.

Feast takes rows, columns and protos. What comes out is one list a join key, as the database takes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import (
    _proto_value_to_value_type,
    python_values_to_feast_value_type,
    python_values_to_proto_values,
)
from feast.value_type import ValueType

from tidegate.stores.types import ColumnType, column_type

EXACT = {ValueType.STRING: {str}, ValueType.INT64: {int}}  # of these, values need no conversion


def columnar(rows: Any) -> Mapping[str, Sequence[Any]]:
    """Return entity rows as columns. Raises ValueError where rows have different keys."""
    if not isinstance(rows, list):
        return {name: values if isinstance(values, Sequence) else values.val for name, values in rows.items()}
    if len(rows) == 1:
        return {name: [value] for name, value in rows[0].items()}
    names = rows[0].keys() if rows else ()
    if any(row.keys() != names for row in rows):
        raise ValueError("All entity_rows must have the same keys.")
    return {name: [row[name] for row in rows] for name in names}


def key_values(name: str, values: Sequence[Any], kinds: Mapping[str, Any]) -> tuple[ColumnType, list[Any]]:
    """Return a join key's type and its values on the wire."""
    kind = kinds.get(name)
    if set(map(type, values)) == EXACT.get(kind):
        return column_type(kind), list(values)
    protos = list(values)
    if protos and not isinstance(protos[0], Value):
        kind = kind or python_values_to_feast_value_type(name, protos)
        protos = python_values_to_proto_values(protos, kind)
    known = column_type(kind or _kind_of(protos))
    wire = known.column(protos)
    for given, found in zip(values, wire, strict=True):
        if found is None and given is not None and not isinstance(given, Value):
            raise ValueError(f"{name} is of type {known.value_type.name}, and {given!r} is not.")
    return known, wire


def _kind_of(protos: Sequence[Any]) -> Any:
    """Return the type of a key that no view declares."""
    return next((_proto_value_to_value_type(proto) for proto in protos), ValueType.STRING)
