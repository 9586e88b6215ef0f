"""Who took what, as a sparse matrix."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from models.backtest.log import EventLog


def taken(past: EventLog) -> sparse.csr_array:
    """Return the matrix (users, N) float32 that has a one where a user took an item."""
    counts = times_taken(past)
    counts.data[:] = 1.0
    return counts


def times_taken(past: EventLog) -> sparse.csr_array:
    """Return the matrix (users, N) float32 of how often a user took an item."""
    ones = np.ones(len(past), dtype=np.float32)
    return sparse.csr_array((ones, (past.user, past.item)), shape=(len(past.users), len(past.catalogue)))
