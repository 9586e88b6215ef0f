"""How a Feast value is kept in a column: its SQL type, and the ways between column, Python and proto.

A value has three forms. On the *wire* it is what psycopg gives for the column; in *Python* it is what Feast's `to_dict`
shows; as a *proto* it is what Feast's servers send. Most types are the same on the wire and in Python.

Maps, structs, nested lists and times with a zone have no SQL type that keeps them whole (a map's number may be an int32
or an int64, its value a time or bytes), so their column holds Feast's own bytes. Everything else is typed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property, partial
from operator import attrgetter
from typing import Any
from uuid import UUID

from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import NULL_TIMESTAMP_INT_VALUE, feast_value_type_to_python_type, python_values_to_proto_values
from feast.value_type import ValueType

Way = Callable[[Any], Any]


@dataclass(frozen=True)
class ColumnType:
    """A Feast type as a column."""

    value_type: Any  # Feast's ValueType
    stored: str  # the column's SQL type
    wire: str  # the SQL type in which it travels; the statement casts where the two differ
    field: str  # the field of the proto; empty: the whole proto travels
    dump: Way  # proto -> wire
    restore: Way  # wire -> proto
    load: Way | None = None  # wire -> Python; None: they are the same
    plain: bool = False  # the field's content is the wire form

    @cached_property
    def number(self) -> int:
        """The Feast type's number: to ask an enumeration's member for it, or to hash one, is slow."""
        return int(self.value_type.value)

    def to_wire(self, value: Any) -> Any:
        """Return a proto as it goes into the column; None for NULL."""
        kind = value.WhichOneof("val")
        if kind == self.field:
            return self.dump(value)
        if kind is None or kind == "null_val":
            return None
        return self.dump(value) if not self.field else self._converted(value)

    def to_python(self, value: Any) -> Any:
        """Return what Feast shows of a column's value."""
        return value if value is None or self.load is None else self.load(value)

    def to_proto(self, value: Any) -> Any:
        """Return what Feast sends of a column's value; an empty proto for NULL."""
        return Value() if value is None else self.restore(value)

    def column(self, values: Sequence[Any]) -> list[Any]:
        """Return protos as they go into the column."""
        if not self.plain:
            return list(map(self.to_wire, values))
        # A field that is not set reads as zero or empty: only those need a second look, which is what costs.
        wire = list(map(self.dump, values))
        if all(wire):
            return wire
        return [one if one else self.to_wire(value) for one, value in zip(wire, values, strict=True)]

    def from_python(self, values: Sequence[Any]) -> list[Any]:
        """Return Python values as they go into the column, converted as Feast converts them."""
        return self.column(python_values_to_proto_values(list(values), self.value_type))

    def _converted(self, value: Any) -> Any:
        """Return the wire form of a proto of another type: an int32 for an int64, a string for a UUID."""
        (same,) = python_values_to_proto_values([feast_value_type_to_python_type(value)], self.value_type)
        return self.dump(same) if same.WhichOneof("val") == self.field else None


def column_type(value_type: Any) -> ColumnType:
    """Return the column of a Feast type in a table of ours."""
    return TYPES.get(value_type) or _packed(value_type)


def served_type(value_type: Any) -> ColumnType:
    """Return the column of a Feast type in somebody else's table: there a map or a struct is JSON."""
    known = column_type(value_type)
    return known if known.field else _json_document(value_type)


def _scalar(value_type: Any, sql: str, field: str) -> ColumnType:
    return ColumnType(value_type, sql, sql, field, attrgetter(field), partial(_proto, field), plain=True)


def _text(value_type: Any, sql: str, field: str, parse: Way) -> ColumnType:
    """Return a type that is text in the proto and an object of its own in Python."""
    content = attrgetter(field)
    return ColumnType(
        value_type, sql, sql, field, lambda value: parse(content(value)), lambda value: _proto(field, str(value))
    )


def _array(of: ColumnType, value_type: Any, field: str, load: Way | None = None) -> ColumnType:
    """Return a list or a set of a type."""
    content, element = attrgetter(f"{field}.val"), _element(of)
    return ColumnType(
        value_type,
        f"{of.stored}[]",
        f"{of.wire}[]",
        field,
        (lambda value: content(value)[:]) if element is None else (lambda value: [element(v) for v in content(value)]),
        _restored_array(field, of),
        load,
        plain=element is None,
    )


def _element(of: ColumnType) -> Way | None:
    """Return the way from an element in the proto to one on the wire; None: they are the same."""
    ways: dict[str, Way] = {"uuid": UUID, "numeric": Decimal, "timestamptz": _moment}
    return ways.get(of.stored)


def _restored_array(field: str, of: ColumnType) -> Way:
    ways: dict[str, Way] = {"uuid": str, "numeric": str, "timestamptz": _seconds}
    back = ways.get(of.stored)

    def restore(values: Any) -> Any:
        proto = Value()
        content = getattr(proto, field)
        content.SetInParent()  # an empty list is a value too
        content.val.extend(values if back is None else map(back, values))
        return proto

    return restore


def _proto(field: str, content: Any) -> Any:
    given: dict[str, Any] = {field: content}
    return Value(**given)


def _moment(seconds: int) -> datetime | None:
    return None if seconds == NULL_TIMESTAMP_INT_VALUE else datetime.fromtimestamp(seconds, tz=UTC)


def _seconds(moment: datetime | None) -> int:
    return NULL_TIMESTAMP_INT_VALUE if moment is None else int(moment.timestamp() // 1)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # Feast shows what it cannot read as it is
        return text


def _packed(value_type: Any) -> ColumnType:
    """Return a type that no column type keeps whole: Feast's own bytes."""
    return ColumnType(
        value_type,
        "bytea",
        "bytea",
        "",
        lambda value: value.SerializeToString(),
        Value.FromString,
        lambda packed: feast_value_type_to_python_type(Value.FromString(packed), value_type),
    )


def _json_document(value_type: Any) -> ColumnType:
    """Return a map or a struct in a jsonb column."""
    return ColumnType(
        value_type,
        "jsonb",
        "text",
        "",
        lambda value: json.dumps(feast_value_type_to_python_type(value)),
        lambda text: python_values_to_proto_values([json.loads(text)], value_type)[0],
        json.loads,
    )


def _known() -> dict[Any, ColumnType]:
    """Return the typed columns by Feast's type."""
    kind = ValueType
    scalars = [
        _scalar(kind.BYTES, "bytea", "bytes_val"),
        _scalar(kind.STRING, "text", "string_val"),
        _scalar(kind.INT32, "integer", "int32_val"),
        _scalar(kind.INT64, "bigint", "int64_val"),
        _scalar(kind.DOUBLE, "double precision", "double_val"),
        _scalar(kind.FLOAT, "real", "float_val"),
        _scalar(kind.BOOL, "boolean", "bool_val"),
        ColumnType(
            kind.UNIX_TIMESTAMP,
            "timestamptz",
            "timestamptz",
            "unix_timestamp_val",
            lambda value: _moment(value.unix_timestamp_val),
            lambda moment: Value(unix_timestamp_val=_seconds(moment)),
        ),
        _text(kind.UUID, "uuid", "uuid_val", UUID),
        _text(kind.TIME_UUID, "uuid", "time_uuid_val", UUID),
        _text(kind.DECIMAL, "numeric", "decimal_val", Decimal),
    ]
    document = replace(_scalar(kind.JSON, "json", "json_val"), wire="text", load=_parsed)
    known = {one.value_type: one for one in scalars} | {kind.JSON: document}
    for one in scalars:
        lists, sets = kind[f"{one.value_type.name}_LIST"], kind[f"{one.value_type.name}_SET"]
        field = one.field.removesuffix("_val")
        known[lists] = _array(one, lists, f"{field}_list_val")
        known[sets] = _array(one, sets, f"{field}_set_val", set)
    known[kind.JSON_LIST] = _array(document, kind.JSON_LIST, "json_list_val", lambda texts: [_parsed(t) for t in texts])
    for pictures in (kind.PDF_BYTES, kind.IMAGE_BYTES):
        known[pictures] = replace(known[kind.BYTES], value_type=pictures)
    return known


TYPES = _known()
