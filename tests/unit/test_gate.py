"""What the gate says, by ranks whose verdict is obvious."""

from __future__ import annotations

import numpy as np

from tidegate.gate import judge

USERS = np.arange(400)
POPULAR = np.full(400, 9)


def ranks(better: int) -> np.ndarray:
    """Return ranks of 400 events: `better` of them at the top, as many at the bottom as the live version has there."""
    return np.where(np.arange(400) < 200 + better, 1, 5)


def test_a_candidate_that_is_no_worse_goes_live() -> None:
    assert judge(USERS, ranks(0), POPULAR, ranks(0)).promoted
    assert not judge(USERS, ranks(-1), POPULAR, ranks(0)).promoted


def test_after_a_suspicious_window_it_must_be_better_beyond_doubt() -> None:
    random = np.random.default_rng(1)
    noise = np.where(random.random(400) < 0.5, 1, 5)
    slightly = judge(USERS, np.where(np.arange(400) < 3, 1, noise), POPULAR, noise, tightened=True)
    assert not slightly.promoted
    clearly = judge(USERS, ranks(60), POPULAR, ranks(0), tightened=True)
    assert clearly.promoted
    assert "tightened after a suspicious window" in slightly.reason
    assert "tightened after a suspicious window" in clearly.reason


def test_a_first_version_has_nothing_to_be_tightened_against() -> None:
    assert judge(USERS, ranks(0), POPULAR, None, tightened=True).promoted


def test_too_few_events_say_nothing() -> None:
    assert not judge(USERS[:49], ranks(0)[:49], POPULAR[:49], None).promoted
