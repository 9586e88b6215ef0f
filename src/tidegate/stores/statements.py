"""The SQL of the stores, by name, made whole with identifiers and expressions.

The blocks are named as those of `tidegate.queries`, which this package must not import: it is usable on its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from psycopg.sql import SQL, Composable, Composed, Identifier

_HEADER = re.compile(r"^-- (?P<name>[a-z][a-z0-9_]*) --[ ]*\n(?:-- \S.*\n)+", re.MULTILINE)
COMMA = SQL(", ")
AND = SQL(" and ")


@cache
def blocks(file: str) -> Mapping[str, str]:
    """Return the statements of a file in `sql`, without their descriptions."""
    text = (Path(__file__).parent / "sql" / f"{file}.sql").read_text(encoding="utf-8")
    headers = list(_HEADER.finditer(text))
    ends = [header.start() for header in headers[1:]] + [len(text)]
    return {h["name"]: text[h.end() : end].strip("\n") for h, end in zip(headers, ends, strict=True)}


def statement(file: str, block: str, **parts: Composable) -> Composed:
    """Return a statement with its parts put in."""
    return SQL(blocks(file)[block]).format(**parts)


def verbatim(text: str) -> SQL:
    """Return SQL that somebody wrote as a definition: a source's query or table, an entity query."""
    return SQL(text)


def commas(parts: Iterable[Composable]) -> Composed:
    """Return parts with commas between them."""
    return COMMA.join(parts)


def column(alias: str, name: str) -> Identifier:
    """Return a column of an alias."""
    return Identifier(alias, name)
