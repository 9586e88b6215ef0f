"""Our own Celery application with a few tasks that a test can watch and hold.

Run it as `celery -A tests.contracts.tasks worker`.
"""

from __future__ import annotations

from tests.contracts import DOOR
from workers.app import app
from workers.connections import connection
from workers.windows import materialise_up_to


@app.task(name="contract.note")
def note(word: str) -> str:
    """Leave a row."""
    connection().execute("insert into public.notes (word) values (%s)", (word,))
    return word


@app.task(name="contract.hold")
def hold(word: str) -> str:
    """Say that it began, wait at the door, and say that it ended."""
    note(f"{word} began")
    connection().execute("select pg_advisory_lock_shared(%s), pg_advisory_unlock_shared(%s)", (DOOR, DOOR))
    note(f"{word} ended")
    return word


# The real one hands each window on to Feast, which takes a worker seconds to import and is no part of this contract.
app.tasks.unregister("tidegate.materialise_window")


@app.task(name="tidegate.materialise_window")
def materialise(window_id: int) -> list[int]:
    """Materialise as the real task does, without Feast."""
    return list(materialise_up_to(window_id))
