"""Which changes of a feature's type keep the values that are there.

Only those after which each value is still what it was: an int32 as an int64, a float as a double, a number as its
digits. An int64 as a double is not among them (2^53 + 1 would change), nor is anything that may fail.
"""

from __future__ import annotations

import re

from psycopg import sql

from tidegate.stores.statements import verbatim

TEXT = {"text"}
KEPT = {
    "integer": {"bigint", "double precision", "numeric", "text"},
    "bigint": {"numeric", "text"},
    "real": {"double precision", "text"},
    "double precision": TEXT,
    "numeric": TEXT,
    "boolean": TEXT,
    "uuid": TEXT,
    "json": TEXT,
}
VECTOR = re.compile(r"vector(?:\((?P<length>\d+)\))?")


def conversion(column: sql.Identifier, old: str, new: str) -> sql.Composable | None:
    """Return the expression that makes a column's old values new ones; None where they cannot be kept."""
    searched = VECTOR.fullmatch(new)
    if searched and old == "real[]":
        return _as_vector(column, new, searched["length"])
    if (VECTOR.fullmatch(old) and new == "real[]") or _kept(old, new):
        return sql.SQL("{}::{}").format(column, verbatim(new))
    return None


def _kept(old: str, new: str) -> bool:
    if old.endswith("[]") and new.endswith("[]"):
        return _kept(old.removesuffix("[]"), new.removesuffix("[]"))
    return new in KEPT.get(old, ())


def _as_vector(column: sql.Identifier, kind: str, length: str | None) -> sql.Composable:
    """Return lists as vectors; one that has not the vector's length was never to be found by it."""
    fits = sql.SQL("cardinality({}) = {}").format(column, verbatim(length)) if length else verbatim("true")
    return sql.SQL("case when {} and array_position({}, null) is null then {}::{} end").format(
        fits, column, column, verbatim(kind)
    )
