"""The JSON of an answer, written from columns.

Feast's server builds a message of protobuf for each value and turns it back; this one writes the columns as they
came from the database. What is read back is equal: values, statuses and times as `feast serve` prints them.
Equal statuses and times are written once and repeated as bytes, which is most of a wide answer.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import orjson
from feast.feature_server_utils import _STATUS_NAMES, _value_to_native
from feast.value_type import ValueType

from tidegate.stores.online_response import Block, seconds
from tidegate.stores.types import ColumnType

EPOCH = b'"1970-01-01T00:00:00Z"'  # "no time": entities, and rows that were not found
STATUSES = {status: orjson.dumps(name) for status, name in _STATUS_NAMES.items()}
Column = Sequence[Any]
Times = Sequence[datetime | None]


def encode(blocks: Sequence[Block]) -> bytes:
    """Return the body of an answer."""
    names = [name for block in blocks for name in block.names]
    results = [result for block in blocks for result in written_block(block)]
    return orjson.dumps({"results": results, "metadata": {"feature_names": names}})


def written_block(block: Block) -> list[dict[str, Any]]:
    """Return the results of a block's features; what the rows of a view share is written once."""
    statuses = orjson.Fragment(written_statuses(block.statuses))
    times = orjson.Fragment(written_times(block.times))
    columns = [written(kind, column) for kind, column in zip(block.types, block.columns, strict=True)]
    return [{"values": column, "statuses": statuses, "event_timestamps": times} for column in columns]


def written(kind: ColumnType, column: Column) -> Column:
    """Return the values of a column in JSON's types."""
    write = WRITERS.get(kind.number)
    if write is not None:
        return write(column)
    return [None if value is None else _value_to_native(kind.to_proto(value)) for value in column]


def plain(column: Column) -> Column:
    """Return a column that JSON takes as it is."""
    return column


def numbers(column: Column) -> Column:
    """Return a column of floats; what is no number of JSON is named as in protobuf's mapping.

    One sum finds whether there is such a thing, in the time of a glance at each value.
    """
    if len(column) == 1:
        return column if column[0] is None or isfinite(column[0]) else [number(column[0])]
    if isfinite(sum(filter(None, column))):
        return column
    return [number(value) for value in column]


def lists_of_numbers(column: Column) -> Column:
    """Return a column of lists of floats in the same way."""
    if isfinite(sum(map(sum, filter(None, column)))):
        return column
    return [None if values is None else [number(value) for value in values] for values in column]


def number(value: float | None) -> float | str | None:
    """Return a float, or its name where JSON has no number for it."""
    if value is None or isfinite(value):
        return value
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]


def each(write: Callable[[Any], Any]) -> Callable[[Column], Column]:
    """Return a writer of columns from a writer of values."""
    return lambda column: [None if value is None else write(value) for value in column]


WRITERS: dict[int, Callable[[Column], Column]] = {  # by number: the hash of an enumeration's member is slow
    kind.value: write
    for kind, write in (
        (ValueType.BOOL, plain),
        (ValueType.BOOL_LIST, plain),
        (ValueType.INT32, plain),
        (ValueType.INT32_LIST, plain),
        (ValueType.INT64, plain),
        (ValueType.INT64_LIST, plain),
        (ValueType.STRING, plain),
        (ValueType.STRING_LIST, plain),
        (ValueType.DOUBLE, numbers),
        (ValueType.FLOAT, numbers),
        (ValueType.DOUBLE_LIST, lists_of_numbers),
        (ValueType.FLOAT_LIST, lists_of_numbers),
        (ValueType.UNIX_TIMESTAMP, each(seconds)),
        (ValueType.BYTES, each(lambda value: b64encode(value).decode("ascii"))),
    )
}


def written_statuses(statuses: bytes) -> bytes:
    """Return the names of statuses."""
    return b"[" + b",".join([STATUSES[status] for status in statuses]) + b"]"


def written_times(times: Times) -> bytes:
    """Return times as protobuf writes them: in UTC, with no digits, three or six after the second.

    The writer of JSON knows six or none, so three are six whose last half is zeros.
    """
    found = orjson.dumps(times, option=orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC)
    if found.count(b'Z"') + times.count(None) != len(times):  # somebody's database has another zone
        found = orjson.dumps([time and time.astimezone(UTC) for time in times], option=orjson.OPT_UTC_Z)
    return found.replace(b'000Z"', b'Z"').replace(b"null", EPOCH)
