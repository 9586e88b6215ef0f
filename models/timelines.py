"""What one user did, in time order, and the catalogue that the items point into.

These two values are all that a caller hands over, so whoever reads events from a database, a file or a test builds
them and needs nothing else of ours.
"""

from dataclasses import dataclass, field
from math import inf

import numpy as np

from models.errors import TimelineError

# The position is the code that is stored in Timeline.types; new types go to the end.
EVENT_TYPES = ("view", "click", "cart", "purchase", "rating")

# Raw point-in-time features of a user. age_days is the age of the feature row at the moment itself, in days.
PROFILE = (
    "n_view",
    "n_click",
    "n_cart",
    "n_purchase",
    "n_rating",
    "decayed_day",
    "decayed_week",
    "decayed_month",
    "spend",
    "rating_mean",
    "age_days",
)


@dataclass(frozen=True)
class Timeline:
    """Hold one user's events in time order.

    A *moment* is all events that share one time: a basket is bought at once, so none of its items may help to guess
    another. Moments in [learn_from, learn_until) are targets, unless all of their events are `learned`; the others
    are history only.
    """

    user: str
    items: np.ndarray  # (n,) int32 or int64, indices into the catalogue
    types: np.ndarray  # (n,) int8, indices into EVENT_TYPES
    times: np.ndarray  # (n,) float64, unix seconds, never decreasing
    values: np.ndarray  # (n,) float32, a price or a rating, NaN where there is none
    learn_from: float = -inf  # unix seconds
    learn_until: float = inf  # unix seconds, itself excluded
    # (m, len(PROFILE)) float32, one row for each target moment in time order, NaN = unknown
    profiles: np.ndarray | None = field(default=None)
    learned: np.ndarray | None = None  # (n,) bool, events that the parent has learned; None: none of them

    def __post_init__(self) -> None:
        lengths = {len(self.items), len(self.types), len(self.times), len(self.values)}
        if len(lengths) > 1:
            raise TimelineError(
                f"timeline of {self.user!r}: arrays of lengths {sorted(lengths)}; give one entry an event"
            )
        if self.learned is not None and len(self.learned) != len(self.times):
            raise TimelineError(
                f"timeline of {self.user!r}: `learned` has {len(self.learned)} entries; give one an event"
            )
        if np.any(np.diff(self.times) < 0):
            raise TimelineError(f"timeline of {self.user!r}: times decrease; sort the events by time first")

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True)
class Catalogue:
    """Name the items and hold their frozen text embeddings.

    It is append-only: the index of an old item never changes, new items go to the end.
    """

    item_ids: tuple[str, ...]
    text: np.ndarray  # (N, E) float32, zeros where an item has no text

    def __post_init__(self) -> None:
        if self.text.ndim != 2 or len(self.item_ids) != len(self.text):
            raise TimelineError(
                f"catalogue of {len(self.item_ids)} items with text of shape {self.text.shape}; give one row an item"
            )

    def __len__(self) -> int:
        return len(self.item_ids)


def moment_starts(times: np.ndarray) -> np.ndarray:
    """Return the index (m,) of the first event of each moment of `times` (n,), which never decrease."""
    return np.flatnonzero(np.diff(times, prepend=-inf) > 0)


def target_moments(timeline: Timeline) -> np.ndarray:
    """Return the index (m,) of the first event of each moment that is a target; `profiles` has a row for each."""
    starts = moment_starts(timeline.times)
    times = timeline.times[starts]
    wanted = (times >= timeline.learn_from) & (times < timeline.learn_until)
    if timeline.learned is not None and len(starts):
        wanted &= ~np.logical_and.reduceat(timeline.learned, starts)
    return starts[wanted]


def timeline_from(
    user: str,
    items: list[int],
    times: list[float],
    event_type: str = "purchase",
    learn_from: float = -inf,
    learn_until: float = inf,
) -> Timeline:
    """Build a timeline of one event type from plain lists; `times` in unix seconds."""
    return Timeline(
        user=user,
        items=np.asarray(items, dtype=np.int64),
        types=np.full(len(items), EVENT_TYPES.index(event_type), dtype=np.int8),
        times=np.asarray(times, dtype=np.float64),
        values=np.full(len(items), np.nan, dtype=np.float32),
        learn_from=learn_from,
        learn_until=learn_until,
    )
