"""What was known of users at moments, by Feast's point-in-time join: what a run reads.

A run asks as any Feast user does, by `get_historical_features` of the service that its version's manifest names. Its
bounds are columns of the asked rows, which feature_store.yaml ties to the history's positions. The answer comes as
Arrow batches, each turned into numbers before the next: memory is a batch's, however many moments are asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tidegate import feature_store
from tidegate.errors import ServiceChanged
from tidegate.families import SEQUENTIAL_RECOMMENDER, Service
from tidegate.features import PROFILE, PROFILED
from tidegate.postgres import Database
from tidegate.services import registered

EVERY_POSITION = 2**63 - 1
BLOCK = 1 << 20  # bytes of text that become one batch: some thousand moments
DAY = 86_400.0  # seconds


def profiles_before(
    database: Database,
    users: Sequence[str],
    times: np.ndarray,
    last: int = EVERY_POSITION,
    excluded: Collection[int] = (),
    service: Service = SEQUENTIAL_RECOMMENDER,
) -> np.ndarray:
    """Return the PROFILE (n, len(PROFILE)) float64 of `users` as it was strictly before `times` (n,) unix seconds.

    NaN is unknown. Only windows up to the position `last`, without those at `excluded`, count: a late event of a later
    window has the time of the newest row, and would otherwise change what an earlier run was told. `age_days` is the
    time since the user's last moment. Raises ServiceChanged where the definitions are not those of the service.
    """
    microseconds = np.round(np.asarray(times, dtype=np.float64) * 1e6).astype(np.int64)  # what PostgreSQL keeps
    found = np.full((len(users), len(PROFILE)), np.nan)
    place = 0
    for batch in batches(database, service, asked_rows(users, microseconds, last, excluded)):
        rows = slice(place, place + batch.num_rows)
        found[rows] = profile(batch, microseconds[rows])
        place += batch.num_rows
    return found


def batches(database: Database, service: Service, asked: pa.Table, block: int = BLOCK) -> Iterator[pa.RecordBatch]:
    """Yield the PROFILED features of asked rows in their order, `block` bytes or so at once. Raises ServiceChanged."""
    if not asked.num_rows:
        return
    names = [feature.partition(":")[2] for feature in service.features]
    if missing := set(PROFILED) - set(names):
        raise ServiceChanged(f"The feature service {service.name} has no {', '.join(sorted(missing))}.")
    with feature_store.opened(database, training=True) as store:
        job: Any = store.get_historical_features(entity_df=asked, features=registered(store, service))
        yield from job.to_batches(block=block, columns=PROFILED)


def asked_rows(users: Sequence[str], microseconds: np.ndarray, last: int, excluded: Collection[int]) -> pa.Table:
    """Return the rows that ask for what was known before `microseconds` (n,) since 1970 at some positions.

    Feast counts a row at the asked time, so it is asked for the microsecond before.
    """
    columns = {
        "user_id": pa.array(users, pa.string()),
        "event_timestamp": pa.array(microseconds - 1).cast(pa.timestamp("us", tz="UTC")),
        "last_position": same(last, pa.int64(), len(users)),
    }
    if excluded:  # each row that is looked at is compared with them
        columns["excluded_positions"] = same(list(excluded), pa.list_(pa.int64()), len(users))
    return pa.table(columns)


def same(value: Any, type_: pa.DataType, n: int) -> pa.DictionaryArray:
    """Return a column that says the same `n` times and holds it once."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, dtype=np.int8)), pa.array([value], type_))


def profile(batch: pa.RecordBatch, microseconds: np.ndarray) -> np.ndarray:
    """Turn PROFILED features of moments (n,) into a PROFILE (n, len(PROFILE)): a mean for a sum, an age for a time."""
    raw = {name: numbers(batch.column(name)) for name in PROFILED}
    rated = np.where(raw["n_rating"] > 0, raw["n_rating"], np.nan)
    raw["rating_mean"] = raw["rating_sum"] / rated
    raw["age_days"] = (microseconds / 1e6 - raw["event_at"]) / DAY
    return np.column_stack([raw[name] for name in PROFILE])


def numbers(column: pa.Array) -> np.ndarray:
    """Return a column (n,) as float64, NaN for null."""
    found: np.ndarray = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return found
