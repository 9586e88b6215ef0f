"""What the offline store writes: rows, pushes, vectors, saved datasets, logs; beside Feast's own where that can."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
import pytest

from tests.support.feast_worlds import hours
from tidegate.postgres import Database

feast = pytest.importorskip("feast")

from feast import FeatureService, FeatureView, Field, PushSource  # noqa: E402
from feast.data_source import PushMode  # noqa: E402
from feast.dqm.errors import ValidationFailed  # noqa: E402
from feast.dqm.profilers.profiler import Profile, Profiler, ValidationReport  # noqa: E402
from feast.feature_logging import LoggingConfig  # noqa: E402
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (  # noqa: E402
    SavedDatasetPostgreSQLStorage,
)
from feast.types import Array, Float32, Float64, Int64, Json  # noqa: E402

from tests.support.offline import (  # noqa: E402
    TYPES,
    World,
    frame,
    item,
    offline_world,
    shop,
    shops,
    source,
)


@pytest.fixture(scope="module")
def world(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with offline_world(server, tmp_path_factory.mktemp("worlds"), "feast_offline_writes") as made:
        yield made


def test_vectors_and_lists_of_documents_are_read_written_and_pushed(world: World) -> None:
    world.connection.execute("create extension if not exists vector")
    world.connection.execute(
        "create table vectors (item_id bigint, at timestamptz, wide vector(3), half halfvec(2), docs jsonb[])"
    )
    view = FeatureView(
        name="vectors", entities=[item], ttl=timedelta(0),
        source=PushSource(name="vectors_push", batch_source=source("vectors", created="")),
        schema=[
            Field(name="wide", dtype=Array(Float32)), Field(name="half", dtype=Array(Float64)),
            Field(name="docs", dtype=Array(Json)), Field(name="item_id", dtype=Int64),
        ],
    )  # fmt: skip
    world.ours.apply([view])
    values = {"wide": [0.1, -2.0, 3e-9], "half": [0.5, 1.0], "docs": ['{"a": [1, "b"]}', "null"]}
    columns = {"item_id": [5, 6], "at": [hours(1), hours(2)]}
    world.ours.push(
        "vectors_push",
        pd.DataFrame(columns | {name: [value, None] for name, value in values.items()}),
        to=PushMode.OFFLINE,
    )
    assert world.connection.execute("select wide::text from vectors order by 1").fetchall() == [
        ("[0.1,-2,3e-09]",),
        (None,),
    ]
    found = world.asked(world.ours, frame((5, 3), (6, 3), keys=("item_id",)), [f"vectors:{name}" for name in values])
    assert found.schema.field("wide").type == pa.list_(pa.float32())
    assert [found[name].to_pylist()[1] for name in values] == [None, None, None]
    assert found["wide"].to_pylist()[0] == pytest.approx(values["wide"])
    assert [found[name].to_pylist()[0] for name in ("half", "docs")] == [values["half"], values["docs"]]


def test_a_table_is_written_by_the_name_by_which_it_is_read(world: World) -> None:
    world.connection.execute("create table folded (item_id bigint, at timestamptz, price double precision)")
    view = FeatureView(
        name="folded", entities=[item], ttl=timedelta(0), source=source("Public.Folded", created=""),
        schema=[Field(name="item_id", dtype=Int64), Field(name="price", dtype=Float64)],
    )  # fmt: skip
    world.ours.apply([view])
    world.ours.write_to_offline_store("folded", pd.DataFrame({"item_id": [5], "at": [hours(1)], "price": [2.5]}))
    assert world.asked(world.ours, frame((5, 2), keys=("item_id",)), ["folded:price"])["price"].to_pylist() == [2.5]


def test_a_saved_dataset_never_leaves_the_database(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from tidegate.stores.offline import job as job_module

    world.rows("shops", [shop(n % 3, n, visits=n) for n in range(9)])
    job = world.ours.get_historical_features(entity_df=frame((1, 5), (2, 8)), features=["shops:visits"])
    dataset = world.ours.create_saved_dataset(job, "kept", SavedDatasetPostgreSQLStorage(table_ref="kept"))
    assert sorted(dataset.to_df()["visits"]) == [4, 8]
    with pytest.raises(psycopg.errors.DuplicateTable):
        job.persist(SavedDatasetPostgreSQLStorage(table_ref="kept"))
    job.persist(SavedDatasetPostgreSQLStorage(table_ref="kept"), allow_overwrite=True)
    with_on_demand = world.ours.get_historical_features(entity_df=frame((1, 5)), features=["doubled:twice"])
    with_on_demand.persist(SavedDatasetPostgreSQLStorage(table_ref="kept"), allow_overwrite=True)
    assert world.connection.execute("select twice from kept").fetchall() == [(8,)]
    monkeypatch.setattr(job_module, "BLOCK", 50)
    asked = frame(*[(9, 1)] * 20, *[(1, 5)] * 20)
    in_parts = world.ours.get_historical_features(entity_df=asked, features=["doubled:twice"])
    in_parts.persist(SavedDatasetPostgreSQLStorage(table_ref="kept"), allow_overwrite=True)
    assert world.connection.execute("select sum(twice), count(*) from kept").fetchall() == [(160, 40)]


class Size(Profile):
    """How many rows a dataset has."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def validate(self, dataset: pd.DataFrame) -> Any:
        same = len(dataset) == self.rows
        return type("Report", (ValidationReport,), {"is_success": same, "errors": [f"{len(dataset)} rows"]})()

    def to_proto(self) -> Any:
        raise NotImplementedError

    from_proto = classmethod(to_proto)


class SizeProfiler(Profiler):
    """Measures a dataset by its size."""

    def analyze_dataset(self, dataset: pd.DataFrame) -> Profile:
        return Size(len(dataset))

    def to_proto(self) -> Any:
        raise NotImplementedError

    from_proto = classmethod(to_proto)


def test_a_retrieval_is_validated_against_a_saved_dataset(world: World) -> None:
    world.rows("shops", [shop(1, 1)])

    def asked(*rows: tuple[int, int]) -> Any:
        return world.ours.get_historical_features(entity_df=frame(*rows), features=["shops:visits"])

    storage = SavedDatasetPostgreSQLStorage(table_ref="Measured")
    dataset = world.ours.create_saved_dataset(asked((1, 5), (1, 8)), "measured", storage)
    assert (dataset.min_event_timestamp, dataset.max_event_timestamp) == (hours(5), hours(8))
    reference = world.ours.get_saved_dataset("measured").as_reference("size", SizeProfiler())
    assert len(asked((1, 2), (1, 3)).to_df(validation_reference=reference)) == 2
    with pytest.raises(ValidationFailed):
        asked((1, 2)).to_df(validation_reference=reference)


def written(n: int) -> pd.DataFrame:
    """Return a row of shops as somebody pushes it."""
    columns = ["user_id", "at", "written", *TYPES]
    return pd.DataFrame([shop(n, n, visits=n, name='a "b",\n', tags=["x", 'y"z\\', None], seen=None)], columns=columns)


def test_rows_are_written_and_pushed_offline_where_the_plain_store_cannot(world: World) -> None:
    world.rows("shops", [shop(0, 0)])
    with pytest.raises(NotImplementedError):
        world.stock.push("push", written(1), to=PushMode.OFFLINE)
    world.ours.push("push", written(1), to=PushMode.OFFLINE)
    world.ours.write_to_offline_store("shops", written(2))
    rows = world.connection.execute("select user_id, name, tags, seen, scores from shops order by 1").fetchall()
    assert rows[1:] == [(n, 'a "b",\n', ["x", 'y"z\\', None], None, [0.1, 2.0]) for n in (1, 2)]
    world.ours.write_to_offline_store("items", pd.DataFrame({"item_id": [5], "at": [hours(1)], "price": [2.5]}))
    with pytest.raises(ValueError, match="reads a query"):
        world.ours.write_to_offline_store("fresh", written(3))


def test_a_number_of_32_bits_is_written_as_it_is_into_one_of_64(world: World) -> None:
    world.rows("items", [(4, hours(0), 1.0)])
    frame = pd.DataFrame({"item_id": [5], "at": [hours(1)], "price": pd.Series([0.1], dtype="float32")})
    world.ours.write_to_offline_store("items", frame)
    assert world.connection.execute("select price from items where item_id = 5").fetchall() == [
        (float(frame.price[0]),)
    ]


def test_what_was_served_is_logged_and_read_again(world: World) -> None:
    from feast.feature_logging import LOG_DATE_FIELD, LOG_TIMESTAMP_FIELD, REQUEST_ID_FIELD

    from tidegate.stores.offline import TidegateLoggingDestination

    service = FeatureService(
        name="served", features=[shops[["visits", "scores"]]],
        logging_config=LoggingConfig(destination=TidegateLoggingDestination(table="served_log")),
    )  # fmt: skip
    world.ours.apply([service])
    log = {"user_id": [1], "shops__visits": [3], "shops__scores": [[0.5, 1.0]]}
    for name in ("visits", "scores"):
        log |= {f"shops__{name}__timestamp": [hours(1)], f"shops__{name}__status": [2]}
    log |= {LOG_TIMESTAMP_FIELD: [hours(2)], LOG_DATE_FIELD: [hours(2).date()], REQUEST_ID_FIELD: ["r1"]}
    for _ in range(2):
        world.ours.write_logged_features(pa.table(log), world.ours.get_feature_service("served"))
    found = world.ours._get_provider().retrieve_feature_service_logs(
        world.ours.get_feature_service("served"), hours(0), hours(3), world.ours.config, world.ours.registry
    ).to_df()  # fmt: skip
    assert found["shops__visits"].tolist() == [3, 3]
    assert found["shops__scores"].map(list).tolist() == [[0.5, 1.0]] * 2
