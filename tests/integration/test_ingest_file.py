"""tidegate ingest: files become rows once, whatever happens on the way."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.learning import one
from tests.support.processes import TIDEGATE, tidegate
from tests.support.waiting import wait_until
from tidegate import ingest as files
from tidegate.errors import IngestError
from tidegate.ingest import Progress, ingest, plan
from tidegate.readers import open_source

HEADER = ("household", "product", "at", "amount", "store")
OPTIONS = (
    "--map",
    "user_id=household,item_id=product,occurred_at=at,value=amount",
    "--set",
    "event_type=purchase",
)


def write_csv(path: Path, rows: list[tuple[Any, ...]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])
    return path


def some_rows(n: int) -> list[tuple[Any, ...]]:
    return [(f"user-{i % 97}", f"item-{i % 31}", f"2024-01-01T00:00:{i % 60:02}Z", i, "s") for i in range(n)]


def test_a_csv_file_with_foreign_names_comes_in_by_a_mapping(
    tmp_path: Path, environment: dict[str, str], connection: psycopg.Connection[Any]
) -> None:
    path = write_csv(tmp_path / "baskets.csv", some_rows(100))
    done = tidegate("ingest", str(path), *OPTIONS, "--keep", "store", "--json", environment=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["rows"], found["refused"], found["resumed_at"]) == (100, {}, 0)
    row = connection.execute(
        "select user_id, item_id, event_type, value, occurred_at, context from ingest.behaviour_events where value = 5"
    ).fetchone()
    assert row == (
        "user-5",
        "item-5",
        "purchase",
        5,
        datetime(2024, 1, 1, 0, 0, 5, tzinfo=UTC),
        {"store": "s"},
    )


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_every_format_gives_the_same_events(tmp_path: Path, connection: psycopg.Connection[Any], form: str) -> None:
    rows = [dict(zip(HEADER, row, strict=True)) for row in some_rows(25)]
    path = tmp_path / f"events.{form}"
    if form == "csv":
        write_csv(path, some_rows(25))
    elif form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    assert bring_in(connection, path).rows == 25
    assert one(connection, "select sum(value) from ingest.behaviour_events where item_id = 'item-3'") == 3


def bring_in(connection: psycopg.Connection[Any], path: Path, **options: Any) -> Progress:
    source = open_source(path)
    mapping = {"user_id": "household", "item_id": "product", "occurred_at": "at", "value": "amount"}
    progress = Progress()
    reading = plan("events", source.columns(), mapping, {"event_type": "purchase"})
    ingest(connection, source, reading, progress, **options)
    return progress


def test_bad_rows_are_quarantined_with_their_reasons_and_counted(
    tmp_path: Path, connection: psycopg.Connection[Any]
) -> None:
    rows = some_rows(5)
    rows[1] = ("a", "tea", "yesterday", 1, "s")
    rows[2] = ("", "tea", "2024-01-01", 1, "s")
    rows[3] = ("a", "tea")
    found = bring_in(connection, write_csv(tmp_path / "e.csv", rows))
    assert dict(found.refused) == {
        "occurred_at must be ISO 8601 or seconds since 1970, not 'yesterday'": 1,
        "user_id must have 1 to 256 characters": 1,
        "the line has 2 cells, the header 5": 1,
    }
    assert one(connection, "select count(*) from ingest.quarantined_events") == 3
    assert one(connection, "select sum(n) from ingest.batches") == 2
    assert connection.execute("select rows_done, rows_refused from ingest.files").fetchall() == [(5, 3)]


def test_a_finished_file_is_not_written_twice_unless_asked_to(
    tmp_path: Path, connection: psycopg.Connection[Any]
) -> None:
    path = write_csv(tmp_path / "e.csv", some_rows(10))
    bring_in(connection, path)
    copy = tmp_path / "copy.csv"
    copy.write_bytes(path.read_bytes())
    with pytest.raises(IngestError, match=r"is in already.*--again"):
        bring_in(connection, copy)
    assert bring_in(connection, path, again=True).rows == 10
    assert one(connection, "select sum(n) from ingest.batches") == 20


def test_two_ingests_of_one_file_cannot_both_take_a_chunk(
    tmp_path: Path, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CHUNK", 10)
    path = write_csv(tmp_path / "e.csv", some_rows(30))
    inner: list[Progress] = []

    def interfere() -> None:
        if not inner:
            inner.append(bring_in(connection, path))

    with pytest.raises(IngestError, match="Another process"):
        bring_in(connection, path, tell=interfere)
    assert one(connection, "select sum(n) from ingest.batches") == 30


def test_a_killed_ingest_goes_on_and_neither_repeats_nor_loses_a_row(
    tmp_path: Path, environment: dict[str, str], connection: psycopg.Connection[Any]
) -> None:
    path = write_csv(tmp_path / "e.csv", some_rows(60_000))
    command = [*TIDEGATE, "ingest", str(path), *OPTIONS]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: one(connection, "select rows_done from ingest.files"), 60, "the first chunk is in")
        process.kill()
    before = one(connection, "select rows_done from ingest.files")
    done = tidegate(*command[len(TIDEGATE) :], "--json", environment=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["resumed_at"], found["resumed_at"] + found["rows"]) == (before, 60_000)
    assert one(connection, "select count(*) from ingest.behaviour_events") == 60_000
    assert one(connection, "select count(distinct value) from ingest.behaviour_events") == 60_000
    assert one(connection, "select sum(n) from ingest.batches") == 60_000


def test_ctrl_c_says_how_to_go_on(
    tmp_path: Path, environment: dict[str, str], connection: psycopg.Connection[Any]
) -> None:
    path = write_csv(tmp_path / "e.csv", some_rows(200_000))
    command = [*TIDEGATE, "ingest", str(path), *OPTIONS]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: one(connection, "select rows_done from ingest.files"), 60, "the first chunk is in")
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "The same command goes on where this one stopped" in said
    assert "Traceback" not in said
    assert one(connection, "select rows_done = (select count(*) from ingest.behaviour_events) from ingest.files")


def test_a_dry_run_writes_nothing_and_counts_bad_rows(
    tmp_path: Path, environment: dict[str, str], connection: psycopg.Connection[Any]
) -> None:
    path = write_csv(tmp_path / "e.csv", [*some_rows(3), ("a", "tea", "soon", 1, "s"), ("", "b", "2024-01-01", 1, "s")])
    done = tidegate("ingest", str(path), *OPTIONS, "--dry-run", environment=environment)
    assert done.returncode == 0, done.stderr
    for fact in ("household", "always 'purchase'", "3 of 5 rows are good", "not 'soon'", "user_id must have"):
        assert fact in done.stdout
    for table in ("ingest.behaviour_events", "ingest.quarantined_events", "ingest.files", "ingest.batches"):
        assert one(connection, f"select count(*) from {table}") == 0


def test_the_catalogue_comes_in_the_same_way(
    tmp_path: Path, environment: dict[str, str], connection: psycopg.Connection[Any]
) -> None:
    path = tmp_path / "products.jsonl"
    products = [
        {"id": 1, "name": "Tea", "colour": "green"},
        {"id": 2, "name": "Milk"},
        {"id": "", "name": "Nothing"},
    ]
    path.write_text("".join(json.dumps(product) + "\n" for product in products))
    options = ("--items", "--map", "item_id=id,title=name", "--keep", "colour", "--json")
    done = tidegate("ingest", str(path), *options, environment=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["changed"] == 2
    assert json.loads(done.stdout)["refused"] == {"item_id must have 1 to 256 characters": 1}
    assert connection.execute("select item_id, title, attributes from catalogue.items order by 1").fetchall() == [
        ("1", "Tea", {"colour": "green"}),
        ("2", "Milk", {}),
    ]
    path.write_text('{"user_id": "a", "city": "Ulm"}\n')
    done = tidegate("ingest", str(path), "--users", "--keep", "*", environment=environment)
    assert done.returncode == 0, done.stderr
    assert one(connection, "select attributes from catalogue.users") == {"city": "Ulm"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.csv"], "nothing.csv"),
        (["."], "."),
        (["e.csv"], "No column is user_id. The file has: household, product"),
        (["e.csv", "--map", "user_id=house"], "There is no column house"),
        (["e.csv", *OPTIONS, "--format", "xml"], "There is no format xml"),
        (["e.csv", "--format", "parquet"], "is no Parquet file"),
    ],
)
def test_an_operators_mistake_is_one_line(
    tmp_path: Path, environment: dict[str, str], arguments: list[str], said: str
) -> None:
    write_csv(tmp_path / "e.csv", some_rows(1))
    done = tidegate("ingest", *arguments, environment=environment, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("tidegate: ")
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
