"""Leases: who may train a window, and for how long. Several connections stand for several workers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import psycopg
import pytest

from tests.support.learning import one
from tests.support.waiting import wait_until
from tests.support.windows import (
    LEASE,
    claimed,
    cut_window,
    publication,
    ready_window,
    sent,
    silence,
    state_of,
)
from tidegate.errors import LeaseLost
from tidegate.postgres import Database
from tidegate.versions import finish, publish
from tidegate.windows import Run, claim, enter, fail, release, renew, seconds_left
from workers.trainer import guarded

Connection = psycopg.Connection[Any]
SWEEP = "select what, subject from learning.sweep()"


@pytest.fixture
def other(database: Database) -> Iterator[Connection]:
    """Another worker's connection; a statement of it that waits for a lock fails the test."""
    with database.configured(statement_timeout="3000").connect(autocommit=True) as made:
        yield made


def sweep(connection: Connection) -> set[tuple[str, str]]:
    return {(what, subject) for what, subject in connection.execute(SWEEP).fetchall()}


def count(connection: Connection, table: str) -> int:
    return int(one(connection, f"select count(*) from learning.{table}"))


# Claiming


def test_windows_are_claimed_in_the_order_of_their_positions(connection: Connection) -> None:
    windows = [ready_window(connection) for _ in range(3)]
    trained = []
    while (run := claim(connection, "default", "a test", LEASE)) is not None:
        trained.append(run.window_id)
        publish(connection, publication(run))
    assert trained == windows


def test_a_window_that_came_back_with_a_new_position_trains_after_those_before_it(connection: Connection) -> None:
    first, second = ready_window(connection), ready_window(connection)
    connection.execute("select learning.park_window(%s, 'by hand', null)", [first])
    connection.execute(
        "update learning.windows set state = 'ready', position = 9, reason = null, finished_at = null"
        " where window_id = %s",
        [first],
    )
    assert claimed(connection).window_id == second


def test_a_window_that_is_only_cut_holds_nobody_up(connection: Connection) -> None:
    window = ready_window(connection)
    cut_window(connection)
    assert claimed(connection).window_id == window


def test_nobody_claims_beside_a_running_run(connection: Connection, other: Connection) -> None:
    ready_window(connection), ready_window(connection)
    claimed(connection)
    assert claim(other, "default", "another", LEASE) is None


def test_streams_do_not_wait_for_each_other(connection: Connection) -> None:
    connection.execute("insert into learning.streams (stream) values ('shop')")
    ready_window(connection)
    window = ready_window(connection, "shop")
    claimed(connection)
    assert claimed(connection, "shop").window_id == window


def test_workers_that_are_handed_the_same_window_at_once_get_one_run(database: Database) -> None:
    workers, windows = 6, 8
    start = Barrier(workers)

    def work(number: int) -> list[Run]:
        """Claim and publish until nothing is left."""
        done = []
        with database.connect(autocommit=True) as mine:
            for _ in range(windows * 2):
                start.wait(20)
                run = claim(mine, "default", f"worker {number}", LEASE)
                start.wait(20)  # so that all have asked before any publishes
                if run is not None:
                    publish(mine, publication(run, f"weights of {run.window_id}".encode()))
                    done.append(run)
        return done

    with database.connect(autocommit=True) as connection:
        cut = [ready_window(connection) for _ in range(windows)]
        with ThreadPoolExecutor(workers) as pool:
            runs = [run for done in pool.map(work, range(workers)) for run in done]
        assert sorted(run.window_id for run in runs) == cut
        assert all(run.attempt == 1 for run in runs)
        by_number = "select array_agg(window_id order by number) from learning.versions"
        assert one(connection, by_number) == cut


def test_a_locked_window_is_waited_for_a_moment_and_not_overtaken(
    database: Database, connection: Connection, other: Connection
) -> None:
    older, _ = ready_window(connection), ready_window(connection)
    with database.connect() as holder:
        holder.execute("select from learning.windows where window_id = %s for update", [older])
        assert claim(other, "default", "another", LEASE) is None
        holder.rollback()
    assert claimed(other).window_id == older


def test_a_claim_is_not_lost_to_a_moments_lock(database: Database, connection: Connection, other: Connection) -> None:
    """As when the features worker notes that the window's values are online."""
    window = ready_window(connection)
    waits = "select count(*) from pg_stat_activity where pid = %s and wait_event_type = 'Lock'"
    with database.connect() as holder, ThreadPoolExecutor(1) as pool:
        holder.execute("update learning.windows set online_at = now() where window_id = %s", [window])
        claiming = pool.submit(claimed, other)
        wait_until(lambda: one(connection, waits, [other.info.backend_pid]) == 1, 5, "the claim waits")
        holder.commit()
        assert claiming.result(5).window_id == window


# Leases


def test_a_lease_that_ended_cannot_be_renewed_although_nobody_took_the_window(connection: Connection) -> None:
    ready_window(connection)
    run = claimed(connection)
    renew(connection, run, LEASE)
    silence(connection, run)
    with pytest.raises(LeaseLost):
        renew(connection, run, LEASE)
    assert seconds_left(connection, run) <= 0


def test_a_run_says_where_it_is_and_hears_that_it_has_lost_its_lease(connection: Connection) -> None:
    ready_window(connection)
    run = claimed(connection)
    assert one(connection, "select step from learning.runs") == "claimed"
    enter(connection, run, "fit")
    assert one(connection, "select step from learning.runs") == "fit"
    silence(connection, run)
    sweep(connection)
    with pytest.raises(LeaseLost):
        enter(connection, run, "judge")
    with pytest.raises(LeaseLost):
        seconds_left(connection, run)
    assert one(connection, "select step from learning.runs") == "fit"


def test_the_sweep_ends_a_silent_run_and_sends_its_window_on_at_once(connection: Connection) -> None:
    window = ready_window(connection)
    run = claimed(connection)
    before = sent(connection, "gpu")
    assert sweep(connection) == set()
    silence(connection, run)
    assert sweep(connection) == {("expired", str(run.run_id))}
    assert sent(connection, "gpu") == before + 1
    assert 'step "claimed"' in one(connection, "select error from learning.runs")
    again = claimed(connection)
    assert (again.window_id, again.attempt) == (window, 2)


def test_an_outage_of_the_server_ends_no_lease(connection: Connection) -> None:
    """What ran out while the server was down has one lease from its start."""
    ends = one(
        connection,
        "select learning.lease_ends(pg_postmaster_start_time() - interval '1 hour',"
        "                           pg_postmaster_start_time() - interval '1 hour 1 minute')"
        "     = pg_postmaster_start_time() + interval '1 minute'",
    )
    assert ends


def test_a_frozen_publisher_holds_nobody_up_and_publishes_nothing(
    database: Database, connection: Connection, other: Connection
) -> None:
    window = ready_window(connection)
    run = claimed(connection)
    frozen = guarded(database, timedelta(seconds=1)).connect()
    finish(frozen, run)  # and then no more: the transaction stays open with its row locks
    assert sweep(other) == set()
    assert claim(other, "default", "another", LEASE) is None
    locks = "select count(*) from pg_locks where relation = 'learning.runs'::regclass and pid = %s"
    wait_until(
        lambda: one(connection, locks, [frozen.info.backend_pid]) == 0,
        10,
        "the server ends the frozen client's session",
    )
    silence(connection, run)
    assert sweep(other) == {("expired", str(run.run_id))}
    with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
        frozen.commit()
    frozen.close()
    publish(other, publication(claimed(other)))
    assert state_of(connection, window) == "trained"
    assert count(connection, "versions") == 1


# Publishing


def test_an_old_token_publishes_nothing_at_all(connection: Connection, other: Connection) -> None:
    ready_window(connection)
    old = claimed(connection)
    silence(connection, old)
    new = claimed(other)
    with pytest.raises(LeaseLost):
        publish(connection, publication(old, b"the old run's weights"))
    assert [count(connection, t) for t in ("versions", "weights", "evaluations")] == [0, 0, 0]
    publish(other, publication(new))
    with pytest.raises(LeaseLost):
        publish(connection, publication(old, b"the old run's weights"))
    assert [count(connection, t) for t in ("versions", "weights")] == [1, 1]


def test_publishing_twice_with_one_token_publishes_once(connection: Connection) -> None:
    ready_window(connection)
    run = claimed(connection)
    publish(connection, publication(run))
    with pytest.raises(LeaseLost):
        publish(connection, publication(run, b"other weights"))
    assert count(connection, "weights") == 1


def test_a_failure_that_is_reported_after_publishing_changes_nothing(connection: Connection) -> None:
    """The child may die between its commit and its answer."""
    window = ready_window(connection)
    run = claimed(connection)
    publish(connection, publication(run))
    assert fail(connection, run, "Traceback …\nValueError: too late") is None
    assert not release(connection, run)
    assert state_of(connection, window) == "trained"
    assert one(connection, "select state from learning.runs") == "succeeded"


# Failing


def test_the_last_attempt_parks_the_window_with_its_reason_and_the_stream_goes_on(connection: Connection) -> None:
    window, following = ready_window(connection), ready_window(connection)
    error = "Traceback (most recent call last):\n  …\nValueError: no such item\n"
    assert [fail(connection, claimed(connection), error) for _ in range(3)] == ["failed", "failed", "parked"]
    reason, traceback = connection.execute(
        "select reason, traceback from learning.windows where window_id = %s", [window]
    ).fetchone() or ("", "")
    assert reason == "3 runs did not finish; the last error: ValueError: no such item"
    assert traceback == error
    assert claimed(connection).window_id == following


@pytest.mark.parametrize(
    ("traceback", "line"),
    [
        ("the trainer process ended with exit code -9", "the trainer process ended with exit code -9"),
        ('Traceback (most recent call last):\n  File "a.py", line 1, in f\n    g()\nKeyError: 3\n', "KeyError: 3"),
        (
            'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    g()\n    ^^^\nKeyError: 3\n\n'
            "The above exception was the direct cause of the following exception:\n\n"
            'Traceback (most recent call last):\n  File "b.py", line 9, in h\n    execute()\n'
            "psycopg.errors.RaiseException: no room\nLINE 1: select\n               ^\nCONTEXT:  PL/pgSQL f()\n",
            "psycopg.errors.RaiseException: no room",
        ),
    ],
)
def test_a_traceback_is_named_by_the_line_that_says_the_error(
    connection: Connection, traceback: str, line: str
) -> None:
    assert one(connection, "select learning.error_line(%s)", [traceback]) == line


def test_a_stream_that_stops_at_a_parked_window_gives_no_claims(connection: Connection) -> None:
    window = ready_window(connection)
    ready_window(connection)
    connection.execute("update learning.streams set max_attempts = 1, on_parked = 'stop'")
    assert fail(connection, claimed(connection), "ValueError") == "parked"
    assert claim(connection, "default", "a test", LEASE) is None
    connection.execute("update learning.streams set on_parked = 'continue'")
    assert claimed(connection).window_id != window


def test_a_window_whose_holders_all_fell_silent_is_parked_by_the_sweep(connection: Connection) -> None:
    window = ready_window(connection)
    for _ in range(3):
        silence(connection, claimed(connection))
    run = one(connection, "select max(run_id) from learning.runs")
    before = sent(connection, "gpu")
    assert sweep(connection) == {("expired", str(run)), ("parked", str(window))}
    assert sent(connection, "gpu") > before, "the next window waits for nobody"
    assert "fell silent" in one(connection, "select reason from learning.windows")


def test_no_claim_is_given_to_a_window_whose_attempts_are_used_up(connection: Connection) -> None:
    window = ready_window(connection)
    for _ in range(3):
        silence(connection, claimed(connection))
    assert claim(connection, "default", "a test", LEASE) is None
    assert state_of(connection, window) == "parked"


def test_a_run_that_was_given_back_costs_no_attempt(connection: Connection) -> None:
    window = ready_window(connection)
    for _ in range(12):  # a dozen deployments
        before = sent(connection, "gpu")
        assert release(connection, claimed(connection))
        assert sent(connection, "gpu") == before + 1
    run = claimed(connection)
    assert fail(connection, run, "ValueError") == "failed"
    assert state_of(connection, window) == "ready"


def test_outages_cost_no_attempt_until_they_are_no_accident(connection: Connection) -> None:
    window = ready_window(connection)
    for _ in range(10):
        assert state_of(connection, window) == "ready"
        assert release(connection, claimed(connection), "OperationalError: server closed the connection")
    assert claim(connection, "default", "a test", LEASE) is None
    assert state_of(connection, window) == "parked"


# Materialising


def begin(connection: Connection, window: int) -> tuple[int, int] | None:
    row = connection.execute("select * from learning.begin_materialisation(%s)", [window]).fetchone()
    return None if row is None else (row[0], row[1])


def test_attempts_to_materialise_are_counted_before_they_start(connection: Connection) -> None:
    first, second = cut_window(connection), cut_window(connection)
    assert [begin(connection, second) for _ in range(3)] == [(first, 1), (first, 2), (first, 3)]
    # Three workers have died of it: it is parked, and the next one follows.
    assert begin(connection, second) == (second, 1)
    assert state_of(connection, first) == "parked"
    assert one(connection, "select reason from learning.windows where state = 'parked'").startswith("3 attempts")


def test_an_error_in_materialising_is_kept_and_the_last_one_parks(connection: Connection) -> None:
    window = cut_window(connection)
    failed = "select learning.fail_materialisation(%s, E'Traceback\\nDivisionByZero: division by zero')"
    answers = []
    for _ in range(3):
        begin(connection, window)
        answers.append(one(connection, failed, [window]))
    assert answers == ["failed", "failed", "parked"]
    assert one(connection, "select reason from learning.windows").endswith("DivisionByZero: division by zero")
    assert one(connection, "select traceback from learning.windows").startswith("Traceback")


# Nudges

QUIET = "update learning.windows set cut_at = cut_at - interval '2 minutes', ready_at = ready_at - interval '2 minutes'"


def nudged(connection: Connection) -> list[tuple[str, str]]:
    """Return what was nudged, and empty the queues."""
    connection.execute("delete from pgmq.q_gpu"), connection.execute("delete from pgmq.q_features")
    connection.execute("select learning.repeat_nudges()")
    return sorted(
        (queue, str(task))
        for queue in ("features", "gpu")
        for (task,) in connection.execute(
            f"select message -> 'headers' ->> 'task' from pgmq.q_{queue}".encode()
        ).fetchall()
    )


def test_lost_tasks_are_sent_again_after_a_while(connection: Connection) -> None:
    ready_window(connection), cut_window(connection), cut_window(connection)
    connection.execute("update learning.windows set online_at = now() where state = 'ready'")
    assert nudged(connection) == []
    connection.execute(QUIET.encode())
    assert nudged(connection) == [("features", "tidegate.materialise_window"), ("gpu", "tidegate.train_window")]
    assert nudged(connection) == [], "they were sent a moment ago"


def test_a_window_that_is_being_trained_is_not_nudged(connection: Connection) -> None:
    ready_window(connection)
    connection.execute("update learning.windows set online_at = now()")
    connection.execute(QUIET.encode())
    claimed(connection)
    assert nudged(connection) == []


def test_values_that_did_not_reach_feast_are_sent_again_even_after_training(connection: Connection) -> None:
    ready_window(connection)
    publish(connection, publication(claimed(connection)))
    connection.execute(QUIET.encode())
    assert nudged(connection) == [("features", "tidegate.materialise_window")]
    connection.execute("update learning.windows set online_at = now(), nudged_at = null")
    assert nudged(connection) == []


def test_the_sweep_looks_at_few_windows_however_many_there_were(connection: Connection) -> None:
    connection.execute(
        "insert into learning.windows (stream, n, ids, t0, t1, position, state, ready_at, online_at, finished_at)"
        " select 'default', 1, '{[1,2)}', now(), now(), p, 'trained', now(), now(), now()"
        " from generate_series(1, 20000) as p"
    )
    connection.execute("analyze learning.windows")
    body = one(connection, "select prosrc from pg_proc where proname = 'repeat_nudges'")
    quiet = re.search(r"with quiet as \((.*?)\n        \)", body, re.DOTALL)
    assert quiet is not None
    plan = "\n".join(
        row[0]
        for row in connection.execute("explain " + quiet[1].replace("nudge_after", "interval '1 minute'")).fetchall()
    )
    assert "Seq Scan on windows" not in plan, plan
