"""How a source's column becomes an online column within the database.

Each way gives what Feast's own way through Python would have written: times of whole seconds, a NULL within a list as
the zero of its type, a set without what it has twice. A pair that is not here takes the way through Python.
"""

from __future__ import annotations

from psycopg.sql import SQL, Composable

from tidegate.stores.statements import statement
from tidegate.stores.types import ColumnType

SAME, TEXT, JSON, SECONDS = "{0}", "{0}::text", "{0}::json", "date_trunc('second', {0})"
INTEGERS, FLOATS, WORDS = ("int2", "int4", "int8"), ("float4", "float8"), ("text", "varchar", "citext")
INTEGER_LISTS, FLOAT_LISTS, WORD_LISTS = ("_int2", "_int4", "_int8"), ("_float4", "_float8"), ("_text", "_varchar")
ZEROS, FALSES, EMPTIES = ("array_replace({0}, null, '" + zero + "')" for zero in ("0", "f", ""))
KNOWN = "array_remove({0}, null)"  # no value of these types stands for none
SECONDS_OF_LIST = "seconds_of_list"
DOCUMENTS = "array_replace({0}::text[], null, 'null')::json[]"

# Online type: source type, by PostgreSQL's short name: the way.
WAYS: dict[str, dict[str, str]] = {
    "integer": dict.fromkeys(INTEGERS, SAME),
    "bigint": dict.fromkeys(INTEGERS, SAME),
    "real": dict.fromkeys((*INTEGERS, *FLOATS), SAME) | {"numeric": "{0}::double precision"},
    "double precision": dict.fromkeys((*INTEGERS, *FLOATS, "numeric"), SAME),
    "numeric": dict.fromkeys((*INTEGERS, "numeric"), SAME) | dict.fromkeys((*FLOATS, *WORDS), "{0}::text::numeric"),
    "boolean": {"bool": SAME},
    "text": dict.fromkeys((*WORDS, *INTEGERS, "uuid", "json", "jsonb", "enum"), TEXT),
    "bytea": {"bytea": SAME},
    "timestamptz": dict.fromkeys(("timestamptz", "timestamp", "date"), SECONDS),
    "uuid": {"uuid": SAME} | dict.fromkeys(WORDS, "{0}::uuid"),
    "json": {"json": SAME} | dict.fromkeys(("jsonb", *WORDS), JSON),
    "integer[]": dict.fromkeys(INTEGER_LISTS, ZEROS),
    "bigint[]": dict.fromkeys(INTEGER_LISTS, ZEROS),
    "real[]": dict.fromkeys(FLOAT_LISTS, ZEROS) | dict.fromkeys(("vector", "halfvec"), "{0}::vector::real[]"),
    "double precision[]": dict.fromkeys((*FLOAT_LISTS, "_numeric"), ZEROS)
    | dict.fromkeys(("vector", "halfvec"), "{0}::vector::real[]::double precision[]"),
    "numeric[]": dict.fromkeys((*INTEGER_LISTS, "_numeric"), KNOWN)
    | dict.fromkeys((*FLOAT_LISTS, *WORD_LISTS), "array_remove({0}::text[], null)::numeric[]"),
    "boolean[]": {"_bool": FALSES},
    "text[]": dict.fromkeys((*WORD_LISTS, "_uuid", "_enum"), "array_replace({0}::text[], null, '')"),
    "bytea[]": {"_bytea": EMPTIES},
    "timestamptz[]": dict.fromkeys(("_timestamptz", "_timestamp", "_date"), SECONDS_OF_LIST),
    "uuid[]": {"_uuid": KNOWN} | dict.fromkeys(WORD_LISTS, "array_remove({0}, null)::uuid[]"),
    "json[]": dict.fromkeys(("_json", "_jsonb", *WORD_LISTS), DOCUMENTS),
    "vector": dict.fromkeys(FLOAT_LISTS, f"{ZEROS}::vector") | {"vector": SAME, "halfvec": "{0}::vector"},
}  # fmt: skip


def cast(source: str, target: ColumnType, value: Composable) -> Composable | None:
    """Return a source's value as its online column takes it; None where Python must make it."""
    way = WAYS.get(target.stored.partition("(")[0], {}).get(source)
    if way is None:
        return None
    if target.value_type.name.endswith("_SET"):
        value = statement("engine", "set_of_list", list=value)
    return statement("engine", way, list=value) if way == SECONDS_OF_LIST else SQL(way).format(value)
