"""Recommendations, as PostgreSQL gives them.

The answer is computed by `serving.recommend` over live rows, so that SQL, Python, HTTP and the command line
cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import psycopg
from psycopg.rows import class_row, dict_row

from tidegate.errors import BadRequest, UnknownStream
from tidegate.queries import queries

Layer = Literal["personal", "session", "popularity"]
Source = Literal["sql", "http", "python", "cli"]


@dataclass(frozen=True)
class Recommendation:
    """One recommended item, with what an application shows and what an operator asks."""

    place: int  # 1 is the best
    item_id: str
    title: str | None
    category: str | None
    price: float | None
    score: float
    why: str
    layer: Layer  # personal: the version knows the user; session: only newer events do; popularity: none
    version_id: int | None  # None before the first version: popularity alone
    version_number: int | None
    last_event_at: datetime | None  # newest event of the user that the answer has seen; None for an unknown user


def recommend(
    connection: psycopg.Connection[Any],
    user: str,
    k: int = 10,
    stream: str = "default",
    source: Source = "python",
) -> list[Recommendation]:
    """Return the k best items for a user, the best first, and log them as an impression.

    A user without any event gets what is popular, and each row says so in `layer`. Raises BadRequest,
    UnknownStream.
    """
    question = {"user": user, "k": k, "stream": stream, "source": source}
    with _explained(), connection.cursor(row_factory=class_row(Recommendation)) as cursor:
        return cursor.execute(queries["recommend"], question).fetchall()


def user_features(connection: psycopg.Connection[Any], user: str) -> dict[str, Any]:
    """Return a user's live features by their names in Feast, as of this commit; empty for an unknown user."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(queries["user_features"], {"user": user}).fetchone() or {}


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what the function refuses into errors that a caller can act on."""
    try:
        yield
    except psycopg.errors.UndefinedObject as error:
        raise UnknownStream(_sentence(error)) from None
    except (psycopg.errors.InvalidParameterValue, psycopg.errors.NumericValueOutOfRange) as error:
        raise BadRequest(_sentence(error)) from None
    except (
        psycopg.DataError,
        UnicodeEncodeError,
    ):  # a NUL or half a surrogate pair: no text that PostgreSQL takes
        raise BadRequest("The user or the stream is not text that PostgreSQL can hold.") from None


def _sentence(error: psycopg.Error) -> str:
    said = error.diag.message_primary or str(error)
    return f"{said[:1].upper()}{said[1:].rstrip('.')}."
