"""Search in a wide table: by distance with pgvector's index, by words, by both, among the rows that pass a filter.

The index is made by `feast apply` for a feature with `vector_index=True` and a `vector_length`, for the metric that its
field names (`vector_search_metric`), else for the store's `similarity`. Another metric is answered too, by reading all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.utils import _get_feature_view_vector_field_metadata
from psycopg import sql

from tidegate.stores.online_read import Rows, age_condition, selected, selected_time
from tidegate.stores.online_tables import Place
from tidegate.stores.statements import AND, commas, statement, verbatim

Document = tuple[Any, Any, dict[str, Any]]  # event timestamp, entity key, values
OPERATORS = {"cosine": "<=>", "l2": "<->", "inner_product": "<#>", "l1": "<+>"}
COMPARISONS = {"eq": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "in": "= any", "nin": "<> all"}
WIDEST = 1_000  # pgvector's largest hnsw.ef_search


@dataclass
class Search:
    """What is looked for; the parameters are collected while the statement is put together."""

    place: Place
    features: Sequence[str]
    vector: Any = None  # the Feast field that is searched by distance
    embedding: Sequence[float] | None = None
    words: str | None = None
    metric: str = "cosine"
    parameters: list[Any] = field(default_factory=list)

    def parameter(self, value: Any, kind: str) -> sql.Composable:
        """Return a place for a value in the statement."""
        self.parameters.append(value)
        return verbatim(f"${len(self.parameters)}::{kind}")


def vector_of(view: Any) -> Any:
    """Return the field of a view that is searched by distance. Raises ValueError where it has none."""
    found = _get_feature_view_vector_field_metadata(view)
    if found is None:
        raise ValueError(f"{view.name} has no vector. Give its Field vector_index=True and a vector_length.")
    return found


def search_statement(search: Search, view: Any, filters: Any, top_k: int) -> sql.Composed:
    """Return the statement; its parameters are then the search's."""
    where = search.place
    columns = [*map(selected, where.keys.values()), selected_time(where)]
    columns += [selected(where.features[feature]) for feature in search.features]
    distance, rank = _distance(search), _rank(search)
    conditions = [sql.SQL("{} is not null").format(sql.Identifier(where.event_timestamp)), *age_condition(where, view)]
    conditions += [*_fitting(search), *([_filter(search, filters)] if filters else [])]
    order = [*([sql.SQL("{} desc").format(rank)] if search.words else []), *([distance] if search.embedding else [])]
    return statement(
        "online",
        "nearest",
        columns=commas(columns),
        distance=distance,
        rank=rank,
        rows=where.rows,
        condition=AND.join(conditions),
        order=commas(order),
        limit=search.parameter(top_k, "bigint"),
    )


def find(connection: psycopg.Connection[Any], search: Search, query: sql.Composed, top_k: int) -> Rows:
    """Return the rows of a search, the nearest first."""
    with connection.transaction(), connection.cursor(binary=True) as cursor:
        if search.embedding is not None:
            cursor.execute(statement("online", "search_widely"), [str(min(max(top_k, 40), WIDEST))])
        return cursor.execute(query, search.parameters).fetchall()


def documents(search: Search, rows: Rows) -> list[Document]:
    """Return rows as Feast wants them: event timestamp, entity key, values with their distance or rank."""
    keys, kinds = search.place.keys, [search.place.features[feature].type for feature in search.features]
    found = []
    for row in rows:
        protos = [key.type.to_proto(value) for key, value in zip(keys.values(), row, strict=False)]
        rest = row[len(keys) + 1 :]
        values = {name: kind.to_proto(value) for name, kind, value in zip(search.features, kinds, rest, strict=False)}
        values |= {name: Value(double_val=value) for name, value in _scores(search, row).items()}
        found.append((row[len(keys)], EntityKey(join_keys=list(keys), entity_values=protos), values))
    return found


def as_feast_reads(found: list[Document]) -> list[Document]:
    """Return rows so that Feast's answer has the nearest first, each with its own values.

    Feast 0.67 takes the keys as they come, but gives the key that is the i-th in the order of keys the i-th row's
    values: what is nearest would have the distance and the text of another. So values come in the order of keys.
    """
    in_order = sorted(found, key=lambda one: tuple(getattr(v, v.WhichOneof("val")) for v in one[1].entity_values))
    return [(moment, key, values) for (_, key, _), (moment, _, values) in zip(found, in_order, strict=True)]


def in_first_form(vector: str, document: Document) -> tuple[Any, Any, Any, Any, Any]:
    """Return a row as `retrieve_online_documents` wants it: the feature is the vector, and so is the vector."""
    moment, key, values = document
    distance = Value(float_val=values["distance"].double_val)
    return moment, key, values[vector], values[vector], distance


def _scores(search: Search, row: tuple[Any, ...]) -> dict[str, float]:
    asked = {"distance": search.embedding is not None, "text_rank": bool(search.words)}
    return {name: value for (name, given), value in zip(asked.items(), row[-2:], strict=True) if given}


def _distance(search: Search) -> sql.Composable:
    if search.embedding is None:
        return verbatim("null::double precision")
    column = search.place.features[search.vector.name]
    stored = sql.Identifier(column.name) if column.type.stored.startswith("vector") else _as_vector(column.name)
    asked = search.parameter(list(search.embedding), "real[]::vector")
    return sql.SQL("{} {} {}").format(stored, verbatim(OPERATORS[search.metric]), asked)


def _as_vector(name: str) -> sql.Composed:
    return sql.SQL("{}::vector").format(sql.Identifier(name))


def _text(search: Search) -> sql.Composed:
    """Return the words of a row: those of its text features that are asked for."""
    wanted = [search.place.features[feature] for feature in search.features]
    names = [sql.Identifier(column.name) for column in wanted if column.type.stored == "text"]
    if not names:
        raise ValueError("A search for words needs a String feature among those that are asked for.")
    return sql.SQL("to_tsvector('english', concat_ws(' ', {}))").format(commas(names))


def _words(search: Search) -> sql.Composed:
    return sql.SQL("plainto_tsquery('english', {})").format(search.parameter(search.words, "text"))


def _rank(search: Search) -> sql.Composable:
    if not search.words:
        return verbatim("null::double precision")
    return sql.SQL("ts_rank({}, {})::double precision").format(_text(search), _words(search))


def _fitting(search: Search) -> list[sql.Composable]:
    return [sql.SQL("{} @@ {}").format(_text(search), _words(search))] if search.words else []


def _filter(search: Search, wanted: Any) -> sql.Composable:
    """Return Feast's filter as a condition. Raises ValueError for a name that the view does not know."""
    if hasattr(wanted, "filters"):
        parts = [_filter(search, part) for part in wanted.filters]
        joiner = sql.SQL(" and ") if wanted.type == "and" else sql.SQL(" or ")
        return sql.SQL("({})").format(joiner.join(parts)) if parts else verbatim("true")
    column = search.place.keys.get(wanted.key) or search.place.features.get(wanted.key)
    if column is None:
        raise ValueError(f"{search.place.view} has no feature {wanted.key!r} to filter by.")
    kind = _compared_as(wanted.value)
    several = wanted.type in {"in", "nin"}
    value = search.parameter(wanted.value, f"{kind}[]" if several else kind)
    named = sql.SQL("{}::{}").format(sql.Identifier(column.name), verbatim(kind))
    return sql.SQL("{} {} ({})").format(named, verbatim(COMPARISONS[wanted.type]), value)


def _compared_as(value: Any) -> str:
    one = value[0] if isinstance(value, list) and value else value
    if isinstance(one, bool):
        return "boolean"
    return "double precision" if isinstance(one, int | float) else "text"
