"""Search in the online store: by distance with pgvector's index, by words, among filtered rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from feast import FeatureStore, Field
from feast.filter_models import ComparisonFilter
from feast.types import Array, Float32, Int64, String

from tests.support.online import ITEM, OURS, close, store, view, write
from tidegate.postgres import Database
from tidegate.stores.online_documents import Search, search_statement
from tidegate.stores.online_tables import place

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DIMENSIONS = 8
Vectors = np.ndarray[Any, np.dtype[np.float32]]


@pytest.fixture
def ours(empty_database: Database, tmp_path: Path) -> Iterator[FeatureStore]:
    made = store(empty_database, tmp_path, OURS, vector_enabled=True)
    yield made
    close(made)


def vector(metric: str = "cosine") -> Field:
    """Return a vector that is searched by a distance."""
    return Field(
        name="vector",
        dtype=Array(Float32),
        vector_index=True,
        vector_length=DIMENSIONS,
        vector_search_metric=metric,
    )


def library(one: FeatureStore, number: int, metric: str = "cosine") -> Vectors:
    """Write texts with random vectors, and return the vectors."""
    one.apply([ITEM, view("texts", [ITEM], {"vector": vector(metric), "title": String, "year": Int64})])
    known = np.random.default_rng(3).normal(size=(number, DIMENSIONS)).astype("float32")
    rows = [
        {"item_id": f"i{n}", "vector": row, "title": f"blue shoe {n}", "year": 2000 + n % 20}
        for n, row in enumerate(known.tolist())
    ]
    write(one, "texts", rows, NOW)
    return known


def plan_of(database: Database, one: FeatureStore, asked: list[float], metric: str) -> str:
    """Return how PostgreSQL would search."""
    kept = one.get_feature_view("texts")
    search = Search(place(one.config, kept), ["title"], vector(metric), asked, None, metric)
    query = search_statement(search, kept, None, 10)
    with database.connect(autocommit=True) as connection:
        connection.execute("analyze ours.shop_item")
        connection.cursor_factory = psycopg.RawCursor
        rows = connection.execute(b"explain " + query.as_bytes(None), search.parameters).fetchall()
    return "\n".join(row[0] for row in rows)


def test_nearest_rows_come_by_words_and_among_filtered_ones(ours: FeatureStore) -> None:
    known = library(ours, 3_000)
    asked = np.random.default_rng(4).normal(size=DIMENSIONS).tolist()
    cosine = known @ np.array(asked) / np.linalg.norm(known, axis=1) / np.linalg.norm(asked)
    exact = [f"i{n}" for n in np.argsort(-cosine)]

    found = ours.retrieve_online_documents_v2(["texts:vector", "texts:title"], top_k=60, query=asked).to_dict()
    assert len(set(found["item_id"]) & set(exact[:60])) >= 54  # more rows than pgvector's default list has

    only = ComparisonFilter(type="eq", key="year", value=2003)
    found = ours.retrieve_online_documents_v2(["texts:title", "texts:year"], top_k=5, query=asked, filters=only)
    wanted = [name for name in exact if int(name[1:]) % 20 == 3][:5]
    assert set(found.to_dict()["year"]) == {2003}
    assert len(set(found.to_dict()["item_id"]) & set(wanted)) >= 4

    words = ours.retrieve_online_documents_v2(["texts:title"], top_k=2, query_string="shoe 77").to_dict()
    assert words["title"] == ["blue shoe 77"]


DISTANCES: dict[str, Callable[[Vectors, Vectors], Vectors]] = {
    "cosine": lambda known, asked: 1 - known @ asked / np.linalg.norm(known, axis=1) / np.linalg.norm(asked),
    "l2": lambda known, asked: np.linalg.norm(known - asked, axis=1),
    "inner_product": lambda known, asked: -(known @ asked),
    "l1": lambda known, asked: np.abs(known - asked).sum(axis=1),
}


@pytest.mark.parametrize("metric", DISTANCES)
def test_each_distance_has_its_index_and_finds_what_is_nearest_by_it(
    ours: FeatureStore, empty_database: Database, metric: str
) -> None:
    known = library(ours, 1_000, metric)
    asked = np.random.default_rng(5).normal(size=DIMENSIONS).astype("float32")
    distances = DISTANCES[metric](known, asked)
    found = ours.retrieve_online_documents_v2(["texts:vector"], top_k=20, query=asked.tolist()).to_dict()
    nearest = np.argsort(distances)[:20]
    assert len(set(found["item_id"]) & {f"i{n}" for n in nearest}) >= 18
    assert found["distance"] == pytest.approx([distances[int(name[1:])] for name in found["item_id"]], abs=1e-5)
    plan = plan_of(empty_database, ours, asked.tolist(), metric)
    assert "Index Scan using shop_item_texts__vector_hnsw" in plan, plan


def test_the_first_form_of_retrieval_gives_the_vectors_and_their_distances(ours: FeatureStore) -> None:
    known = library(ours, 50, "L2")
    asked = known[7].tolist()
    wanted = ["texts:vector", "texts:item_id", "texts:distance"]
    found = ours.retrieve_online_documents(query=asked, top_k=3, features=wanted, distance_metric="L2").to_dict()
    nearest = np.argsort(np.linalg.norm(known - known[7], axis=1))[:3]
    assert found["item_id"] == [f"i{n}" for n in nearest]
    assert found["vector"] == [known[n].tolist() for n in nearest]
    assert found["distance"] == pytest.approx(np.linalg.norm(known[nearest] - known[7], axis=1).tolist(), abs=1e-5)
    with pytest.raises(ValueError, match="pgvector has no distance 'wrong'"):
        ours.retrieve_online_documents(query=asked, top_k=3, features=wanted, distance_metric="wrong")
