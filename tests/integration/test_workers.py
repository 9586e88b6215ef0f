"""The workers' own code on a real database, in processes of their own: what they do when something does not work."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.faults import alive
from tests.support.learning import one
from tests.support.processes import python
from tests.support.waiting import wait_until
from tests.support.windows import claimed, cut_window, ready_window, state_of
from tidegate import stack
from tidegate.postgres import Database
from tidegate.settings import get_settings
from tidegate.stack import Service, Stack
from workers import connections
from workers.trainers import Trainer, TrainerFailed

Connection = psycopg.Connection[Any]


@pytest.fixture
def trainer(store_database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trainer]:
    """The parent's side of a trainer process that works on `store_database` with short limits."""
    monkeypatch.setenv("TIDEGATE_DATABASE_URL", store_database.conninfo)
    monkeypatch.setenv("TIDEGATE_RUN_LIMIT_SECONDS", "3")
    get_settings.cache_clear()
    connections.database.cache_clear()
    made = Trainer()
    yield made
    made.kill()
    connections.connection().close()
    connections.database.cache_clear()


def test_a_run_that_hangs_with_a_beating_heart_is_ended_at_its_limit(
    trainer: Trainer, store_database: Database, writer: Connection
) -> None:
    ready_window(writer)
    trainer.ready()
    assert trainer.process is not None
    child = trainer.process.pid
    run = claimed(writer, lease=timedelta(seconds=60))
    with store_database.connect() as holder:
        holder.execute("lock table features.user_timelines")  # so that the trainer reads for ever
        with pytest.raises(TrainerFailed, match="TIDEGATE_RUN_LIMIT_SECONDS"):
            trainer.train(run)
        assert not alive(child)
    renewed = one(writer, "select heartbeat_at > claimed_at from learning.runs where run_id = %s", [run.run_id])
    assert renewed, "its heart did beat"


TRAIN = """
    from workers.increments import claim_next
    try:
        print(claim_next({window}))
    except Exception as error:
        print(type(error).__name__)
"""


def test_a_worker_whose_torch_does_not_load_claims_nothing(
    environment: dict[str, str], connection: Connection, tmp_path: Path
) -> None:
    window = ready_window(connection)
    (tmp_path / "torch.py").write_text("raise ImportError('libcuda.so.1: cannot open shared object file')")
    broken = environment | {
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "TIDEGATE_FEAST_STORES": "stock",  # ours needs no copying
    }
    with python(TRAIN.format(window=window), broken, cwd=Path(__file__).parents[2]) as worker:
        assert worker.hear() == "TrainerMissing"
    assert one(connection, "select count(*) from learning.runs") == 0


MATERIALISE = """
    from workers.windows import MaterialisationFailed, materialise_up_to
    try:
        print(list(materialise_up_to({window})))
    except MaterialisationFailed as error:
        print(error)
"""
REFUSE_BOB = """
create function refuse_bob() returns trigger language plpgsql as $$
begin
    raise exception 'no timeline for bob';
end
$$;
create trigger refuse_bob before insert on features.user_timelines
    for each row when (new.user_id = 'bob') execute function refuse_bob();
"""


def materialise(environment: dict[str, str], window: int) -> str:
    """Do what the features worker does when it is handed a window; return what it says."""
    with python(MATERIALISE.format(window=window), environment, cwd=Path(__file__).parents[2]) as worker:
        return worker.hear()


def test_a_window_that_cannot_be_materialised_is_parked_and_blocks_nobody(
    environment: dict[str, str], connection: Connection
) -> None:
    connection.execute(REFUSE_BOB.encode())
    bad, good = cut_window(connection, user="bob"), cut_window(connection)
    assert materialise(environment, good) == f"window {bad}, attempt 1"
    assert materialise(environment, good) == f"window {bad}, attempt 2"
    assert state_of(connection, bad) == "cut"
    assert materialise(environment, good) == f"[{good}]"
    reason, traceback = connection.execute(
        "select reason, traceback from learning.windows where window_id = %s and state = 'parked'", [bad]
    ).fetchone() or ("", "")
    assert reason.startswith("3 attempts to materialise it failed")
    assert "no timeline for bob" in reason
    assert traceback.startswith("Traceback")


HAND_ON = """
    from workers.windows import materialise_window
    try:
        print(materialise_window.run({window}))
    except Exception as error:
        print(error)
"""


def test_an_online_store_that_is_broken_holds_no_window_up(
    environment: dict[str, str], connection: Connection, tmp_path: Path
) -> None:
    windows = [cut_window(connection) for _ in range(2)]
    (tmp_path / "feast.py").write_text("raise RuntimeError('no Feast today')")
    broken = environment | {
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "TIDEGATE_FEAST_STORES": "stock",  # ours needs no copying
    }
    with python(HAND_ON.format(window=windows[-1]), broken, cwd=Path(__file__).parents[2]) as worker:
        assert worker.hear() == "no Feast today"
    assert [state_of(connection, window) for window in windows] == ["ready", "ready"]
    assert one(connection, "select count(*) from learning.windows where online_at is null") == 2, "the sweep asks again"


def quiet(name: str, line: str) -> None:
    """Say nothing."""


def test_a_service_that_keeps_dying_pauses_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "LONGEST_PAUSE", 0.06)
    dying = Service("dying", (sys.executable, "-c", "raise SystemExit(3)"), dict(os.environ), pause=0.01)
    dying.start(quiet)
    pauses = []

    def died(name: str, line: str) -> None:
        if line.startswith("dying ended with exit code 3"):
            pauses.append(dying.pause)

    def looked() -> bool:
        dying.revive(died)
        return len(pauses) == 5

    wait_until(looked, 20, "five deaths")
    assert pauses == [0.01, 0.02, 0.04, 0.06, 0.06]


def test_a_dead_service_is_started_again_while_another_keeps_dying(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "LOOK_EVERY", 0.01)
    several = Stack(("keeper", "api"), quiet)
    several.services = {
        "dying": Service("dying", (sys.executable, "-c", "raise SystemExit(3)"), dict(os.environ), pause=30.0),
        "steady": Service(
            "steady", (sys.executable, "-c", "import signal; signal.pause()"), dict(os.environ), pause=0.01
        ),
    }
    stop = threading.Event()
    with several:
        steady = several.services["steady"]
        first = steady.process.pid
        supervisor = threading.Thread(target=several.supervise, args=(stop,))
        supervisor.start()
        try:
            wait_until(lambda: several.services["dying"].restart_at is not None, 20, "the other one is dead")
            os.kill(first, signal.SIGKILL)
            wait_until(lambda: steady.process.pid != first and alive(steady.process.pid), 10, "a new process")
        finally:
            stop.set()
            supervisor.join()
