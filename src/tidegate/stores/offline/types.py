"""Types on the way between PostgreSQL and Arrow.

Out of the database a column has the Arrow type that Feast's own PostgreSQL store gives it, so that nobody's
training code sees a difference; where that store fails (JSON, varchar arrays, vectors) it is what Feast reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import Connection
from psycopg.adapt import Transformer
from psycopg.pq import Format
from psycopg.sql import SQL, Composable

from tidegate.stores.statements import blocks

MICROSECONDS = pa.timestamp("us")
UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")

# By PostgreSQL's own number of a type, which never changes.
SCALARS = {
    16: pa.bool_(),
    20: pa.int64(),
    21: pa.int32(),  # Feast has no smaller one
    23: pa.int32(),
    25: pa.string(),
    114: pa.string(),
    700: pa.float32(),
    701: pa.float64(),
    1042: pa.string(),
    1043: pa.string(),
    1082: MICROSECONDS,
    1114: MICROSECONDS,
    1184: MICROSECONDS,  # in UTC, as Feast hands times on
    1700: pa.float64(),
    2950: pa.string(),
    3802: pa.string(),
}
ARRAYS = {
    1000: pa.bool_(),
    1001: pa.binary(),
    1005: pa.int32(),
    1007: pa.int32(),
    1009: pa.string(),
    1014: pa.string(),
    1015: pa.string(),
    1016: pa.int64(),
    1021: pa.float32(),
    1022: pa.float64(),
    1115: MICROSECONDS,
    1182: MICROSECONDS,
    1185: MICROSECONDS,
    1231: pa.float64(),
    2951: pa.string(),
    199: pa.string(),  # JSON, as text
    3807: pa.string(),
}
JSON_ARRAYS, TEXT_ARRAY = {199, 3807}, 1009
BYTES = 17
NUMBERS = {1005, 1007, 1016, 1021, 1022}  # arrays whose text needs no unquoting
VECTORS = {"vector", "halfvec"}

# What a column of Arrow becomes in the database.
PLAIN = {
    pa.bool_(): "boolean",
    pa.int8(): "smallint",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.uint8(): "smallint",
    pa.uint16(): "integer",
    pa.uint32(): "bigint",
    pa.uint64(): "numeric",
    pa.float16(): "real",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.string(): "text",
    pa.large_string(): "text",
    pa.binary(): "bytea",
    pa.large_binary(): "bytea",
    pa.date32(): "date",
    pa.date64(): "date",
    pa.null(): "text",
}

Column: TypeAlias = Any  # pyarrow's ChunkedArray; pyarrow ships no types
Finish = Callable[[Column], Column]


def database_type(arrow: pa.DataType) -> str:
    """Return the type of a column that can hold an Arrow type."""
    if arrow in PLAIN:
        return PLAIN[arrow]
    if pa.types.is_timestamp(arrow):
        return "timestamptz"  # a time without a zone is in UTC to Feast
    if pa.types.is_decimal(arrow):
        return "numeric"
    if pa.types.is_time(arrow):
        return "time"
    if pa.types.is_struct(arrow) or pa.types.is_map(arrow):
        return "jsonb"
    if arrow == pa.list_(pa.null()):
        return "bigint[]"  # nothing but empty arrays: where the type matters, they are of positions
    if pa.types.is_list(arrow) or pa.types.is_large_list(arrow) or pa.types.is_fixed_size_list(arrow):
        return _array_type(database_type(arrow.value_type))
    raise TypeError(f"There is no PostgreSQL type for a column of {arrow}. Cast it, for example to a string.")


def _array_type(of: str) -> str:
    """Return an array's type: arrays of arrays are arrays, arrays of objects are JSON."""
    return of if of == "jsonb" or of.endswith("[]") else f"{of}[]"


def types_of_source(connection: Connection[Any], source: Composable) -> dict[str, str]:
    """Return a source's columns with the short names of their types; of an enum, and of an array of one, just that."""
    described = connection.execute(SQL("select * from {} s limit 0").format(source)).description or ()
    codes = [one.type_code for one in described]
    names = dict(connection.execute(blocks("offline")["short_names"], [codes]).fetchall())
    return {one.name: names[one.type_code] for one in described}


def read_as(connection: Connection[Any], oid: int) -> tuple[pa.DataType, pa.DataType, Finish]:
    """Return how a column's text is read: the type to parse, the type in the end, the way from one to the other."""
    if oid in (1082, 1114):
        return MICROSECONDS, MICROSECONDS, _same
    if oid == 1184:
        return UTC_MICROSECONDS, MICROSECONDS, lambda column: column.cast(MICROSECONDS)
    if oid in SCALARS:
        return SCALARS[oid], SCALARS[oid], _same
    if oid == BYTES:
        return pa.string(), pa.binary(), _bytes
    if oid in ARRAYS:
        return _array(connection, oid)
    if _type_name(connection, oid) in VECTORS:
        vector = pa.list_(pa.float32())
        return pa.string(), vector, lambda column: _numbers(column, vector)
    return pa.string(), pa.string(), _same


def _array(connection: Connection[Any], oid: int) -> tuple[pa.DataType, pa.DataType, Finish]:
    final = pa.list_(ARRAYS[oid])
    load = _loader(connection, TEXT_ARRAY if oid in JSON_ARRAYS else oid)

    def finish(column: Column) -> Column:
        if oid in NUMBERS and _flat(column):
            return _numbers(column, final)
        return pa.chunked_array([_loaded(column, load, final)])

    return pa.string(), final, finish


def _type_name(connection: Connection[Any], oid: int) -> str:
    row = connection.execute("select typname from pg_type where oid = %s", [oid]).fetchone()
    return "" if row is None else str(row[0])


def _loader(connection: Connection[Any], oid: int) -> Callable[[bytes], Any]:
    """Return what reads the text of any type that psycopg knows."""
    return Transformer(connection).get_loader(oid, Format.TEXT).load


def _same(column: Column) -> Column:
    return column


def _bytes(column: Column) -> Column:
    found = [None if value is None else bytes.fromhex(value[2:]) for value in column.to_pylist()]
    return pa.chunked_array([pa.array(found, pa.binary())])


def _flat(column: Column) -> bool:
    """Tell whether every array has one dimension and something in it."""
    odd = pc.or_(pc.equal(column, "{}"), pc.or_(pc.starts_with(column, "{{"), pc.starts_with(column, "[")))
    return not pc.any(odd).as_py()


def _numbers(column: Column, final: pa.DataType) -> Column:
    """Read "{1,2,NULL}" or "[1,2]" without a Python object for each number."""
    inner = pc.utf8_slice_codeunits(column, 1, -1)
    return pa.chunked_array([_split(chunk, final) for chunk in inner.chunks], type=final)


def _split(texts: pa.Array, final: pa.DataType) -> pa.Array:
    parts = pc.split_pattern(texts, ",")
    values = pc.replace_with_mask(parts.values, pc.equal(parts.values, "NULL"), pa.scalar(None, pa.string()))
    return pa.ListArray.from_arrays(parts.offsets, values.cast(final.value_type), type=final, mask=parts.is_null())


def _loaded(column: Column, load: Callable[[bytes], Any], final: pa.DataType) -> pa.Array:
    values = [None if value is None else load(value.encode()) for value in column.to_pylist()]
    try:
        return pa.array(values, final)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError):
        return pa.array(values).cast(final)  # times with a zone, decimals


def plain(column: Column, target: str) -> Column:
    """Return a column as one whose text PostgreSQL reads as its target type."""
    if pa.types.is_dictionary(column.type):
        return pa.chunked_array([_each(chunk, target) for chunk in column.chunks] or [pa.array([], pa.string())])
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        return column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)  # cut, never rounded into the future
    if pa.types.is_float16(column.type):
        return plain(column.cast(pa.float32()), target)
    if pa.types.is_float32(column.type) and target == "double precision":
        return column.cast(pa.float64())  # its short text would be another double
    if pa.types.is_nested(column.type):
        return _texts(column, WRITTEN.get(target, _as_array))
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return _texts(column, lambda value: r"\x" + value.hex())
    return column


def _each(column: pa.DictionaryArray, target: str) -> pa.Array:
    """Return the values of a dictionary's rows, each distinct one made plain once."""
    values = pa.concat_arrays(plain(pa.chunked_array([column.dictionary]), target).chunks)
    return values.take(column.indices)


def _texts(column: Column, write: Callable[[Any], str]) -> Column:
    found = [None if value is None else write(value) for value in column.to_pylist()]
    return pa.chunked_array([pa.array(found, pa.string())])


def _as_json(value: Any) -> str:
    return json.dumps(dict(value) if _is_map(value) else value, default=str)


def _is_map(value: Any) -> bool:
    """Tell whether a value is a map as Arrow hands it out: a list of pairs."""
    return isinstance(value, list) and bool(value) and all(isinstance(pair, tuple) for pair in value)


def _as_vector(value: Any) -> str:
    return "[" + ",".join(map(str, value)) + "]"


def _as_array(value: Any) -> str:
    """Write an array as PostgreSQL reads it."""
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return "{" + ",".join(map(_as_array, value)) + "}"
    text = r"\x" + value.hex() if isinstance(value, bytes) else str(value)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# How lists are written where they are no array.
WRITTEN = {"json": _as_json, "jsonb": _as_json} | dict.fromkeys(VECTORS, _as_vector)
