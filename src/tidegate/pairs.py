"""What was known of users with items at moments, by Feast's point-in-time join: what a ranking head reads.

It is asked as tidegate.moments asks for users: by the family's service, strictly before each moment, within positions.
An item's price is the one that it has: for moments before it was last changed it is unknown, never one of their future.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tidegate import feature_store
from tidegate.families import RANKER, Service
from tidegate.moments import BLOCK, EVERY_POSITION, asked_rows, numbers, same
from tidegate.postgres import Database
from tidegate.services import registered

# What a head reads of the service, in its order.
PAIRED = ("pair_age_days", "price_to_mean_spend", "pair_events", "pair_decayed_week")


def pairs_before(
    database: Database,
    users: Sequence[str],
    items: Sequence[str],
    times: np.ndarray,
    stream: str,
    last: int = EVERY_POSITION,
    excluded: Collection[int] = (),
    service: Service = RANKER,
) -> np.ndarray:
    """Return the PAIRED (n, 4) float64 of `users` with `items` as they were strictly before `times` (n,) unix seconds.

    NaN is unknown. Only windows up to the position `last`, without those at `excluded`, count. Raises ServiceChanged
    where the definitions are not those of the service.
    """
    found = np.full((len(users), len(PAIRED)), np.nan)
    if not len(users):
        return found
    microseconds = np.round(np.asarray(times, dtype=np.float64) * 1e6).astype(np.int64)
    asked = asked_rows(users, microseconds, last, excluded)
    asked = asked.append_column("item_id", pa.array(items, pa.string()))
    asked = asked.append_column("stream", same(stream, pa.string(), len(users)))
    asked = asked.append_column("asked_at", pa.array(microseconds / 1e6))
    place = 0
    with feature_store.opened(database, training=True) as store:
        job: Any = store.get_historical_features(entity_df=asked, features=registered(store, service))
        for batch in job.to_batches(block=BLOCK, columns=PAIRED):
            found[place : place + batch.num_rows] = np.column_stack([numbers(batch.column(name)) for name in PAIRED])
            place += batch.num_rows
    return found
