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

from tidegate.stores.online_response import Vector, seconds

EPOCH = b'"1970-01-01T00:00:00Z"'  # "no time": entities, and rows that were not found
Column = Sequence[Any]
Times = Sequence[datetime | None]


def encode(vectors: Sequence[Vector]) -> bytes:
    """Return the body of an answer."""
    known: dict[tuple[int, int], bytes] = {}
    results = b",".join([b'{"values":' + orjson.dumps(written(vector)) + rest(vector, known) for vector in vectors])
    names = orjson.dumps([vector.name for vector in vectors])
    return b'{"results":[' + results + b'],"metadata":{"feature_names":' + names + b"}}"


def rest(vector: Vector, known: dict[tuple[int, int], bytes]) -> bytes:
    """Return what follows the values: statuses and times, which the features of a view share."""
    shared = id(vector.statuses), id(vector.times)
    found = known.get(shared)
    if found is None:
        statuses = orjson.dumps([_STATUS_NAMES[status] for status in vector.statuses])
        times = written_times(vector.times)
        found = known[shared] = b',"statuses":' + statuses + b',"event_timestamps":' + times + b"}"
    return found


def written(vector: Vector) -> Column:
    """Return the values of a column in JSON's types."""
    write = WRITERS.get(vector.type.value_type.value)
    if write is not None:
        return write(vector.values)
    to_proto = vector.type.to_proto
    return [None if value is None else _value_to_native(to_proto(value)) for value in vector.values]


def plain(column: Column) -> Column:
    """Return a column that JSON takes as it is."""
    return column


def numbers(column: Column) -> Column:
    """Return a column of floats; what is no number of JSON is named as in protobuf's mapping.

    One sum finds whether there is such a thing, in the time of a glance at each value.
    """
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


def written_times(times: Times) -> bytes:
    """Return times as protobuf writes them: in UTC, with no digits, three or six after the second.

    The writer of JSON knows six or none, so three are six whose last half is zeros.
    """
    found = orjson.dumps(times, option=orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC)
    if found.count(b'Z"') + times.count(None) != len(times):  # somebody's database has another zone
        found = orjson.dumps([time and time.astimezone(UTC) for time in times], option=orjson.OPT_UTC_Z)
    return found.replace(b'000Z"', b'Z"').replace(b"null", EPOCH)
