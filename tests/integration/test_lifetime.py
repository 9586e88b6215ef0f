"""Days are made ahead, sealed when they are over and dropped when they are past their retention, never too early."""

from __future__ import annotations

import json
import os
from typing import Any

import psycopg
import pytest

from tests.support.activity import fold
from tests.support.days import add_day, day, window, write
from tests.support.learning import one
from tests.support.processes import tidegate
from tests.support.waiting import wait_until
from tidegate import lifetime
from tidegate.postgres import Database
from tidegate.stack import Stack
from tidegate.tables import metadata

READ = "select e::text from learning.read_window(%s) e order by event_id"
PAST = "select partition from ingest.partitions() where ends_at <= now()"
OPTIONS = "select coalesce(c.reloptions, '{}') from pg_class c where c.oid = to_regclass(%s)"
Connection = psycopg.Connection[Any]


@pytest.fixture
def connection(connection: Connection) -> Connection:
    """A database that keeps ten days."""
    lifetime.set_lifetime(connection, keep_events="10d")
    return connection


def plan(connection: Connection) -> dict[str, str | None]:
    """Return the old partitions, and what keeps each."""
    return {old.partition: old.needed_by for old in lifetime.read_plan(connection).partitions}


def past(connection: Connection) -> list[str]:
    """Return the partitions of days that are over."""
    return [name for (name,) in connection.execute(PAST.encode()).fetchall()]


def test_nothing_is_dropped_unless_a_retention_was_set(database: Database) -> None:
    with database.connect(autocommit=True) as connection:
        old = add_day(connection, 400)
        assert lifetime.apply(connection).dropped == []
        assert past(connection) == [old]


def test_a_day_past_its_retention_goes_once_nothing_needs_it(connection: Connection) -> None:
    old, young = add_day(connection, 20), add_day(connection, 3)
    write(connection, 20)
    assert plan(connection) == {old: "ledger of default, unfolded batches of default"}
    fold(connection)
    assert plan(connection) == {old: "ledger of default"}
    made = window(connection, trained=False)
    assert plan(connection) == {old: f"window {made} (cut)"}
    connection.execute("select features.materialise_window(%s)", (made,))
    assert plan(connection) == {old: f"window {made} (ready)"}
    connection.execute("update learning.windows set state = 'parked', reason = 'r', finished_at = now()")
    assert plan(connection) == {old: f"window {made} (parked)"}
    report = lifetime.apply(connection)
    assert (report.dropped, report.kept) == ([], {old: f"needed by window {made} (parked)"})
    connection.execute("update learning.windows set state = 'skipped', reason = 'given up'")
    assert lifetime.apply(connection).dropped == [old]
    assert past(connection) == [young]


def test_a_day_that_is_not_past_its_retention_cannot_be_dropped_by_mistake(connection: Connection) -> None:
    young = add_day(connection, 3)
    with pytest.raises(psycopg.errors.RaiseException, match="no partition past its retention"):
        connection.execute("select ingest.drop_partition(%s)", (young,))


def test_a_window_past_retention_says_so(connection: Connection) -> None:
    add_day(connection, 20)
    write(connection, 20)
    made = window(connection)
    whole = "select learning.window_is_whole(%s)"
    assert one(connection, whole, (made,)) is True
    lifetime.apply(connection)
    assert one(connection, whole, (made,)) is False
    assert connection.execute(READ, (made,)).fetchall() == []
    assert one(connection, whole, (made + 1,)) is None


def test_a_stream_that_keeps_its_events_reads_its_windows_the_same_for_ever(connection: Connection) -> None:
    connection.execute("insert into learning.streams (stream, keep_events) values ('shop', true)")
    old = add_day(connection, 20)
    # Interleaved ids, and a second day that stays: the window is read from both places.
    for stream in ("shop", "default", "shop"):
        write(connection, 20, stream=stream)
    write(connection, 3, stream="shop")
    kept, forgotten = window(connection, "shop"), window(connection, "default")
    before = connection.execute(READ, (kept,)).fetchall()
    assert len(before) == 60
    assert lifetime.apply(connection).dropped == [old]
    assert connection.execute(READ, (kept,)).fetchall() == before
    assert one(connection, "select learning.window_is_whole(%s)", (kept,)) is True
    assert one(connection, "select learning.window_is_whole(%s)", (forgotten,)) is False
    assert one(connection, "select count(*) from ingest.kept_events where stream = 'default'") == 0


def test_a_writer_in_the_way_is_not_waited_for_and_nobody_waits_behind(
    database: Database, connection: Connection
) -> None:
    connection.execute("update learning.streams set keep_events = true")
    old = add_day(connection, 20)
    write(connection, 20)
    made = window(connection)
    before = connection.execute(READ, (made,)).fetchall()
    with database.connect() as slow, database.connect(autocommit=True) as quick:
        write(slow, 0)
        assert lifetime.apply(connection, tries=2).kept == {old: "busy"}
        # Copied already and not dropped: still each event once.
        assert connection.execute(READ, (made,)).fetchall() == before
        quick.execute("set lock_timeout = '1s'")
        write(quick, 0)
        slow.commit()
    assert lifetime.apply(connection).dropped == [old]
    assert connection.execute(READ, (made,)).fetchall() == before


def test_a_snapshot_from_before_the_copy_still_reads_the_whole_window(
    database: Database, connection: Connection
) -> None:
    connection.execute("update learning.streams set keep_events = true")
    old = add_day(connection, 20)
    write(connection, 20)
    made = window(connection)
    before = connection.execute(READ, (made,)).fetchall()
    with database.connect() as reader:
        reader.execute("set transaction isolation level repeatable read")
        reader.execute("select from learning.streams")  # takes the snapshot, and no lock on any event
        assert lifetime.apply(connection, tries=2).kept == {old: "busy"}
        assert reader.execute(READ, (made,)).fetchall() == before
    assert lifetime.apply(connection).dropped == [old]
    assert connection.execute(READ, (made,)).fetchall() == before


def test_an_event_that_arrives_for_an_old_day_just_before_the_drop_keeps_it(
    database: Database, connection: Connection
) -> None:
    old = add_day(connection, 20)
    with database.connect() as late:
        write(late, 20)
        assert plan(connection) == {old: None}  # not committed: not to be seen
        assert lifetime.apply(connection, tries=1).kept == {old: "busy"}
        late.commit()
    assert "ledger of default" in lifetime.apply(connection).kept[old]


def test_old_rows_of_the_default_partition_go_in_chunks(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifetime, "CHUNK", 7)
    connection.execute("insert into learning.streams (stream, keep_events) values ('shop', true)")
    write(connection, 20)
    write(connection, 20, stream="shop")
    kept = window(connection, "shop")
    before = connection.execute(READ, (kept,)).fetchall()
    window(connection)
    write(connection, 3)
    write(connection, 20)  # in the ledger
    assert lifetime.read_plan(connection).rows["default_partition"] == 60
    assert lifetime.apply(connection).trimmed["default_partition"] == 0  # the ledger spans all of them
    window(connection)
    assert lifetime.apply(connection).trimmed["default_partition"] == 60
    assert one(connection, "select count(*) from ingest.behaviour_events") == 20
    assert connection.execute(READ, (kept,)).fetchall() == before


def test_quarantine_and_impressions_have_lifetimes_of_their_own(connection: Connection) -> None:
    lifetime.set_lifetime(connection, keep_quarantine="5d", keep_impressions="5d")
    for ago in (9, 1):
        connection.execute(
            "insert into ingest.quarantined_events (event, reason, quarantined_at) values ('{}', 'r', %s)", (day(ago),)
        )
        connection.execute(
            "insert into serving.impressions (stream, user_id, layer, items, scores, served_at)"
            " values ('default', 'u', 'popularity', '{}', '{}', %s)",
            (day(ago),),
        )
    report = lifetime.apply(connection)
    assert report.trimmed == {"default_partition": 0, "quarantine": 1, "impressions": 1}
    lifetime.set_lifetime(connection, keep_quarantine="forever", keep_impressions="forever")
    assert lifetime.read_lifetime(connection).keep_quarantine is None


def test_partitions_are_made_beside_a_long_transaction(database: Database, connection: Connection) -> None:
    connection.execute("set statement_timeout = '5s'")
    days = one(connection, "select count(*) from ingest.partitions()")  # today's among them
    with database.connect() as slow, database.connect(autocommit=True) as quick:
        write(slow, 0)
        assert one(connection, "select ingest.make_partitions(%s)", (days + 2,)) == 3
        quick.execute("set lock_timeout = '1s'")
        write(quick, 0)
        slow.commit()
    write(connection, -days)
    assert one(connection, "select count(*) from ingest.behaviour_events_default") == 0


def test_a_sealed_day_finds_a_user_by_its_index(connection: Connection) -> None:
    over, today = add_day(connection, 2), add_day(connection, 0)
    write(connection, 2, 5_000)
    assert lifetime.seal(connection) == [over]
    assert lifetime.seal(connection) == []
    explained = connection.execute(
        "explain select * from ingest.behaviour_events where user_id = 'user-3' and occurred_at > '2020-01-01'"
    ).fetchall()
    shown = "\n".join(line for (line,) in explained)
    assert f"{over}_user_id_occurred_at_idx" in shown, shown
    assert f"{today}_user_id" not in shown, shown


def test_the_window_of_an_event_is_looked_up_in_an_index(connection: Connection) -> None:
    for n in range(300):
        write(connection, 0, 10)
        one(connection, "select learning.cut_window('default', null, true)")
        if n % 3 == 0:  # so that windows overlap and have gaps
            write(connection, 0, 1)
    connection.execute("analyze learning.windows")
    event = one(connection, "select event_id from ingest.behaviour_events order by random() limit 1")
    owner = one(
        connection,
        "select window_id from learning.windows w, learning.read_window(w.window_id) e where e.event_id = %s",
        (event,),
    )
    assert one(connection, "select learning.window_of(%s)", (event,)) == owner
    assert one(connection, "select learning.window_of(-1)") is None
    assert "windows_ids_idx" in nested_plans(connection, f"select learning.window_of({event})")


def nested_plans(connection: Connection, statement: str) -> str:
    """Return the plans of what a statement runs inside functions."""
    said: list[str] = []
    connection.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
    connection.execute("load 'auto_explain'")
    for setting in ("auto_explain.log_min_duration = 0", "auto_explain.log_nested_statements = on"):
        connection.execute(f"set {setting}".encode())
    connection.execute("set client_min_messages = log")
    connection.execute(statement.encode())
    connection.execute("reset client_min_messages")
    return "\n".join(said)


def test_kept_events_have_the_columns_of_the_events() -> None:
    columns = [[(c.name, str(c.type)) for c in metadata.tables[f"ingest.{name}"].columns] for name in
               ("behaviour_events", "kept_events")]  # fmt: skip
    assert columns[0] == columns[1]


@pytest.mark.parametrize(
    "name", [name for name, t in metadata.tables.items() if t.dialect_options["postgresql"]["with"]]
)
def test_storage_settings_are_those_of_the_tables_in_python(connection: Connection, name: str) -> None:
    said = metadata.tables[name].dialect_options["postgresql"]["with"]
    assert sorted(one(connection, OPTIONS, (name,))) == sorted(f"{key}={value}" for key, value in said.items())


def test_the_keeper_seals_and_lets_go(database: Database, connection: Connection, environment: dict[str, str]) -> None:
    old, over = add_day(connection, 20), add_day(connection, 2)
    with Stack(("keeper",), say=lambda name, line: None, environment=environment):
        wait_until(lambda: old not in past(connection), 20, "the old day is dropped")
        sealed = "select sealed from ingest.partitions() where partition = %s"
        wait_until(lambda: one(connection, sealed, (over,)), 20, "the day that is over is sealed")


def test_the_command_shows_changes_and_applies(database: Database, connection: Connection) -> None:
    environment = os.environ | {"TIDEGATE_DATABASE_URL": database.conninfo}
    old, needed = add_day(connection, 30), add_day(connection, 20)
    write(connection, 20)

    def run(*arguments: str) -> str:
        done = tidegate("retention", *arguments, environment=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    shown = run()
    for fact in (old, "drop", needed, "stays: ledger of default", "10 days", "for ever", "90 days"):
        assert fact in shown, shown
    assert [p["partition"] for p in json.loads(run("--json"))["partitions"]] == [old, needed]
    assert "25 days" in run("set", "--keep", "25d", "--keep-quarantine", "forever")
    assert "Say --yes" in tidegate("retention", "apply", "--json", environment=environment).stderr
    assert json.loads(run("apply", "--yes", "--json"))["dropped"] == [old]
    assert past(connection) == [needed]
    assert "no day is past its retention" in run()


def test_a_stream_is_told_to_keep_its_events(connection: Connection, environment: dict[str, str]) -> None:
    for option, kept in (("--keep-events", True), ("--no-keep-events", False)):
        assert tidegate("streams", "set", "default", option, environment=environment).returncode == 0
        assert one(connection, "select keep_events from learning.streams") is kept


@pytest.mark.parametrize(
    ("span", "said"), [("soon", "invalid input syntax"), ("1 hour", "too short"), ("-3d", "too short")]
)
def test_a_retention_that_makes_no_sense_is_refused(database: Database, span: str, said: str) -> None:
    environment = os.environ | {"TIDEGATE_DATABASE_URL": database.conninfo}
    done = tidegate("retention", "set", f"--keep={span}", environment=environment)
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr
