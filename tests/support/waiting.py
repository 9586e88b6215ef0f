"""Waiting for a fact instead of sleeping and hoping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")
PAUSE = 0.02


def wait_until(condition: Callable[[], Found], seconds: float = 10.0, what: str = "") -> Found:
    """Return the first true value of `condition`, asked every 20 ms; fail the test after `seconds`.

    Use a condition on what the test is about (a row, a dead process), and wait on a real signal where there
    is one.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what or getattr(condition, '__name__', 'the condition')}: not within {seconds} s")
        time.sleep(PAUSE)
    return found
