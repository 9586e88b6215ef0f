"""Learning that survives anything: every process is killed at every step of a run, and nobody helps.

Each cell lets a window come, holds a process at a step, kills something, and lets go. The window must be trained by
itself, become one version by one succeeded run, in order; every event must be in one window; and recommendations
must be answered. `pytest -m "long or not long"` runs the whole matrix, the plain suite a diagonal of it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.faults import PATIENCE, QUICK, SLOW, World, world
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(500)

TARGETS = ("trainer", "gpu", "features", "keeper", "api", "database")
STEPS = (
    "claimed",
    "features read",
    "training",
    "weights written",
    "evaluations written",
    "before the commit",
    "after the commit",
)
# Each target and each step at least once.
DIAGONAL = {
    ("trainer", "training"),
    ("gpu", "claimed"),
    ("features", "weights written"),
    ("keeper", "features read"),
    ("api", "evaluations written"),
    ("database", "before the commit"),
    ("gpu", "after the commit"),
}
CELLS = [
    pytest.param(target, step, marks=[] if (target, step) in DIAGONAL else [pytest.mark.long], id=f"{target}-{step}")
    for target in TARGETS
    for step in STEPS
]


@pytest.fixture(scope="module")
def running() -> Iterator[World]:
    """A stack that all cells share, with a first version live, and short waits."""
    # On Feast's own stores, which windows are copied to: one more step at which a worker may die.
    with world(TIDEGATE_LEASE_SECONDS="5", TIDEGATE_NUDGE_SECONDS="3", TIDEGATE_FEAST_STORES="stock") as made:
        made.trained(made.cut())
        yield made


@pytest.fixture
def stack(running: World) -> World:
    """The same; a cell that fails prints what the processes said."""
    with told(running):
        running.answers()
        running.idle()
    running.lines.clear()
    return running


@contextmanager
def told(stack: World) -> Iterator[None]:
    """Print the story if what is in the block fails."""
    try:
        yield
    except BaseException:
        print(stack.story())  # noqa: T201  # pytest shows it beside the failure
        raise


def check(stack: World, window: int) -> None:
    """Assert what must be true after every cell."""
    stack.trained(window)
    assert stack.one("select count(*) from learning.versions where window_id = %s", [window]) == 1
    assert stack.one("select count(*) from learning.runs where window_id = %s and state = 'succeeded'", [window]) == 1
    positions = stack.one(
        "select array_agg(w.position order by v.number)"
        " from learning.versions v join learning.windows w using (window_id)"
    )
    assert positions == sorted(positions)
    assert stack.one("select count(*) from ingest.behaviour_events") == stack.one(
        "select count(*) from (select e.event_id from learning.windows w"
        " cross join learning.read_window(w.window_id) e group by e.event_id having count(*) = 1) once"
    )
    assert stack.one("select count(*) from serving.recommend('user-1', 3)") == 3
    wait_until(
        lambda: stack.one("select online_at is not null from learning.windows where window_id = %s", [window]),
        PATIENCE,
        "values in Feast's online store",
    )
    stack.answers()


@pytest.mark.parametrize(("target", "step"), CELLS)
def test_killing(target: str, step: str, stack: World) -> None:
    with told(stack):
        window = train_and_kill(stack, target, step)
        check(stack, window)
        assert counted(stack, window) <= (1 if target in ("trainer", "gpu") else 0), "only the death of a worker counts"
        # Whoever was killed works again, for the next window.
        if target in ("features", "keeper"):
            check(stack, stack.cut())


def counted(stack: World, window: int) -> int:
    """Return how many attempts a window has lost."""
    lost = "select count(*) from learning.runs where window_id = %s and state in ('failed', 'expired')"
    return int(stack.one(lost, [window]))


def train_and_kill(stack: World, target: str, step: str) -> int:
    """Let a window come, and kill the target when its run is at the step; return the window."""
    if step == "training":
        return kill_while_training(stack, target)
    with stack.held(step) as hold:
        window = stack.cut()
        session = hold.arrival()
        stack.kill(target)
        if target == "database":
            stack.restart()
        elif step == "before the commit" and target in ("trainer", "gpu"):
            # Else the server would commit what a dead client had asked for: the next test.
            hold.cut_off(session)
    return window


def kill_while_training(stack: World, target: str) -> int:
    """Kill the target while the model is being fitted, which needs no database and cannot be held."""
    stack.one("update learning.streams set settings = %s returning 1", [SLOW])
    window = stack.cut()
    fitting = "select 1 from learning.runs where window_id = %s and step = 'fit' and state = 'running'"
    wait_until(lambda: stack.one(fitting, [window]), PATIENCE, "a fit has begun")
    stack.kill(target)
    if target == "database":
        stack.restart()
    stack.one("update learning.streams set settings = %s returning 1", [QUICK])
    return window


@pytest.mark.long
def test_a_trainer_that_dies_after_asking_for_the_commit_has_published(stack: World) -> None:
    with told(stack):
        with stack.held("before the commit") as hold:
            window = stack.cut()
            hold.arrival()
            stack.kill("trainer")
        check(stack, window)
        assert stack.one("select count(*) from learning.runs where window_id = %s", [window]) == 1


@pytest.mark.long
@pytest.mark.parametrize("place", ["materialising", "going online"])
def test_killing_the_features_worker_in_the_midst_of_its_work(place: str, stack: World) -> None:
    with told(stack):
        with stack.held(place) as hold:
            window = stack.cut()
            session = hold.arrival()
            stack.kill("features")
            hold.cut_off(session)
        check(stack, window)


def test_a_window_that_is_handed_out_twice_is_trained_once(stack: World) -> None:
    """Two workers, several messages, and the redelivery of one whose training outlasts its visibility timeout."""
    with told(stack), stack.second_gpu_worker():
        with stack.held("features read") as hold:
            window = stack.cut()
            hold.arrival()
            for _ in range(2):
                stack.send(window)
            # What the visibility timeout does, without its 300 seconds: the message in flight is delivered again.
            stack.connection.execute("update pgmq.q_gpu set vt = clock_timestamp()")
            stack.send(window)  # wakes the other worker
            # The worker that trains is held: only the other can have acknowledged them all.
            wait_until(lambda: stack.one("select count(*) from pgmq.q_gpu") == 0, 4, "every message acknowledged")
        check(stack, window)
        assert stack.one("select count(*) from learning.runs where window_id = %s", [window]) == 1


def test_a_worker_that_wakes_after_its_lease_publishes_nothing(stack: World) -> None:
    with told(stack):
        gpu = stack.pid("gpu")
        with stack.held("about to publish") as hold:
            window = stack.cut()
            hold.arrival()
            trainer = stack.pid("trainer")
            for frozen in (gpu, trainer):
                os.kill(frozen, signal.SIGSTOP)
        try:
            with stack.second_gpu_worker():
                stack.trained(window)
            stack.lines.clear()
            os.kill(trainer, signal.SIGCONT)
            refused = f"trainer  warning: window {window}: Run"
            wait_until(lambda: any(refused in line for line in stack.lines), PATIENCE, "the old run is refused")
        finally:
            os.kill(trainer, signal.SIGCONT)
            os.kill(gpu, signal.SIGCONT)
        check(stack, window)
        ended = "select array_agg(state order by attempt) from learning.runs where window_id = %s"
        assert stack.one(ended, [window]) == ["expired", "succeeded"]
        check(stack, stack.cut())


@pytest.mark.long
def test_a_trainer_that_freezes_alone_is_killed_by_its_parent(stack: World) -> None:
    with told(stack):
        with stack.held("features read") as hold:
            window = stack.cut()
            hold.arrival()
            os.kill(stack.pid("trainer"), signal.SIGSTOP)
        check(stack, window)
        assert stack.one("select count(*) from learning.runs where window_id = %s", [window]) == 2


@pytest.mark.long
def test_a_deployment_in_the_midst_of_a_training_costs_no_attempt(stack: World) -> None:
    with told(stack):
        stack.one("update learning.streams set settings = %s returning 1", [SLOW])
        window = stack.cut()
        fitting = "select 1 from learning.runs where window_id = %s and step = 'fit' and state = 'running'"
        wait_until(lambda: stack.one(fitting, [window]), PATIENCE, "a fit has begun")
        gpu = stack.stack.services["gpu"].process
        gpu.terminate()
        gpu.wait(10)
        stack.one("update learning.streams set settings = %s returning 1", [QUICK])
        check(stack, window)
        ended = "select array_agg(state order by attempt) from learning.runs where window_id = %s"
        assert stack.one(ended, [window]) == ["released", "succeeded"]
