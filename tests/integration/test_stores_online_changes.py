"""What `feast apply` does to the online store's tables when definitions change, and what `feast plan` says of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import invalidate_caches
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from feast import Entity, FeatureStore, Field, ValueType
from feast.repo_operations import plan as feast_plan
from feast.types import Array, Float32, Float64, Int32, Int64, String

from tests.support.online import OURS, USER, close, store, view, write
from tidegate.postgres import Database

COLOUR = re.compile(r"\x1b\[[\d;]*m")
_files = count()
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def ours(empty_database: Database, tmp_path: Path) -> Iterator[FeatureStore]:
    made = store(empty_database, tmp_path, OURS, vector_enabled=True)
    yield made
    close(made)


def read(one: FeatureStore, *features: str, user: Any = 1) -> dict[str, Any]:
    """Return the values of a user."""
    return one.get_online_features([f"profile:{name}" for name in features], [{"user_id": user}]).to_dict()


def test_a_feature_whose_type_widens_keeps_its_values(ours: FeatureStore) -> None:
    before = {"count": Int32, "share": Float32, "code": Int64, "counts": Array(Int32), "shares": Array(Float32)}
    after = {"count": Int64, "share": Float64, "code": String, "counts": Array(Int64), "shares": Array(Float64)}
    ours.apply([USER, view("profile", [USER], before)])
    values = {"count": 7, "share": 0.5, "code": -3, "counts": [1, 2], "shares": [0.25]}
    write(ours, "profile", [{"user_id": 1, **values}], NOW)
    assert read(ours, *before) == {"user_id": [1], **{name: [value] for name, value in values.items()}}
    ours.apply([USER, view("profile", [USER], after)])
    assert read(ours, *after) == {
        "user_id": [1], "count": [7], "share": [0.5], "code": ["-3"], "counts": [[1, 2]], "shares": [[0.25]]
    }  # fmt: skip


def test_a_feature_whose_values_cannot_be_kept_starts_empty_and_says_so(
    ours: FeatureStore, caplog: pytest.LogCaptureFixture
) -> None:
    ours.apply([USER, view("profile", [USER], {"age": String, "name": String})])
    write(ours, "profile", [{"user_id": 1, "age": "seven", "name": "ann"}], NOW)
    with caplog.at_level(logging.WARNING, logger="tidegate.stores"):
        ours.apply([USER, view("profile", [USER], {"age": Int64, "name": String})])
    assert caplog.messages == [
        "shop_user: make profile__age anew, empty: it was text and becomes bigint. Materialise it again."
    ]
    assert read(ours, "age", "name") == {"user_id": [1], "age": [None], "name": ["ann"]}


def test_a_key_whose_type_widens_keeps_its_rows_and_another_starts_anew(
    ours: FeatureStore, caplog: pytest.LogCaptureFixture
) -> None:
    ours.apply([USER, view("profile", [USER], {"age": Int64})])
    write(ours, "profile", [{"user_id": 1, "age": 7}], NOW)
    text = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    ours.apply([text, view("profile", [text], {"age": Int64})])
    assert read(ours, "age", user="1")["age"] == [7]
    with caplog.at_level(logging.WARNING, logger="tidegate.stores"):
        ours.apply([USER, view("profile", [USER], {"age": Int64})])
    assert "make anew, empty, with the key user_id bigint instead of the key user_id text" in caplog.text
    assert read(ours, "age")["age"] == [None]


def vector(metric: str, indexed: bool = True) -> Field:
    """Return a vector of two dimensions."""
    return Field(
        name="vector", dtype=Array(Float32), vector_index=indexed, vector_length=2, vector_search_metric=metric
    )


def test_a_vector_may_get_its_index_later_lose_it_and_change_its_distance(
    ours: FeatureStore, empty_database: Database
) -> None:
    plain = {"vector": Array(Float32)}
    ours.apply([USER, view("profile", [USER], plain)])
    rows = [{"user_id": 1, "vector": [1.0, 2.0]}, {"user_id": 2, "vector": [1.0]}]
    write(ours, "profile", rows, NOW)
    with empty_database.connect(autocommit=True) as connection:
        for metric, operators in (("cosine", "vector_cosine_ops"), ("l2", "vector_l2_ops")):
            ours.apply([USER, view("profile", [USER], {"vector": vector(metric)})])
            assert operator_classes(connection) == [operators]
        assert read(ours, "vector")["vector"] == [[1.0, 2.0]]
        assert read(ours, "vector", user=2)["vector"] == [None]  # what has another length cannot be a vector of two
        ours.apply([USER, view("profile", [USER], plain)])
        assert operator_classes(connection) == []
    assert read(ours, "vector")["vector"] == [[1.0, 2.0]]


def operator_classes(connection: psycopg.Connection[Any]) -> list[str]:
    """Return what the indexes for search by distance compare by."""
    rows = connection.execute(
        "select o.opcname from pg_index i join pg_opclass o on o.oid = i.indclass[0] where o.opcname like 'vector%'"
    ).fetchall()
    return [name for (name,) in rows]


DEFINITIONS = """
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import {types}
user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
source = FileSource(name="source", path="source.parquet", timestamp_field="event_timestamp")
{view} = FeatureView(
    name="{view}", entities=[user], source=source, ttl=timedelta(0),
    schema=[Field(name="user_id", dtype=Int64), {fields}],
)
"""


def planned(one: FeatureStore, capsys: pytest.CaptureFixture[str], name: str, features: dict[str, str]) -> list[str]:
    """Return what `feast plan` prints of the infrastructure for a repository with one view."""
    fields = ", ".join(f'Field(name="{feature}", dtype={kind})' for feature, kind in features.items())
    types = ", ".join(sorted({"Int64", *features.values()}))
    folder = Path(str(one.config.repo_path))
    file = folder / f"definitions_{next(_files)}.py"  # a module is imported once
    file.write_text(DEFINITIONS.format(types=types, view=name, fields=fields), encoding="utf-8")
    invalidate_caches()
    feast_plan(one.config, folder, skip_source_validation=True)
    file.unlink()
    shown = COLOUR.sub("", capsys.readouterr().out).splitlines()
    return [line.removeprefix("Created sqlite table ") for line in shown if "table" in line or "infrastructure" in line]


def test_feast_plan_shows_what_apply_will_do(
    ours: FeatureStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(ours.config.repo_path))  # feast plan changes into it, and its command makes it importable
    monkeypatch.syspath_prepend(str(ours.config.repo_path))
    created = planned(ours, capsys, "profile", {"age": "Int32", "name": "String"})
    assert created == [
        "shop_user: create with the key user_id bigint",
        "shop_user: add profile__event_timestamp timestamptz",
        "shop_user: add profile__created timestamptz",
        "shop_user: add profile__age integer",
        "shop_user: add profile__name text",
    ]
    ours.apply([USER, view("profile", [USER], {"age": Int32, "name": String})])
    assert planned(ours, capsys, "profile", {"age": "Int32", "name": "String"}) == ["No changes to infrastructure"]
    assert planned(ours, capsys, "profile", {"age": "Int64", "name": "Int64", "more": "Float64"}) == [
        "shop_user: convert profile__age from integer to bigint",
        "shop_user: make profile__name anew, empty: it was text and becomes bigint.",
        "shop_user: add profile__more double precision",
    ]
    assert set(planned(ours, capsys, "other", {"age": "Int32"})) == {
        "shop_user: add other__event_timestamp timestamptz",
        "shop_user: add other__created timestamptz",
        "shop_user: add other__age integer",
        *(f"shop_user: drop profile__{column}" for column in ("age", "name", "event_timestamp", "created")),
    }
