"""Timelines as the tensors of one step.

Queries of one user that lie close together share a *chunk*: a stretch of the timeline that begins early enough for its
first query, so that a hundred queries cost little more than one.
Chunks of similar length share a batch, so that little is padded.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from math import inf

import numpy as np
import torch
from torch import Tensor

from models.covisitation import Covisitation, Following
from models.encoder import Architecture, gap_buckets
from models.histories import Queries, spans
from models.popularity import PopularityClock
from models.repeat import PairStates, pair_states, repeat_rows

# Scores of one batch, queries times items: 32 MB of float32, which stays near the processor's caches.
MOST_SCORES = 2**23


@dataclass(frozen=True)
class Batch:
    """Hold B chunks of at most T events, and the Q queries that they answer."""

    items: Tensor  # (B, T) int64
    types: Tensor  # (B, T) int64
    gaps: Tensor  # (B, T) int64, see gap_buckets
    asked: Tensor  # (B, A) int64, which of a chunk's T events are the last before a query, padded with 0
    place: Tensor  # (Q,) int64, where in the flat (B * A) asked states a query finds its own; B * A = no history
    snapshot: Tensor  # (Q,) int64, which popularity snapshot a query reads
    profile: Tensor  # (Q, F) float32, raw
    following: Tensor  # (Q, N) float32, what is taken after the query's latest events; see Followers.after
    early: Tensor  # (Q,) bool, what is known to follow knows of the query's own future
    repeat_query: Tensor  # (R,) int64
    repeat_item: Tensor  # (R,) int64
    repeat_values: Tensor  # (R, 6) float32
    target_query: Tensor  # (M,) int64
    target_item: Tensor  # (M,) int64
    target_row: Tensor  # (M,) int64, the target's row among the repeat rows, -1 = never touched before
    number: np.ndarray  # (Q,) which of all the queries these are

    def to(self, device: torch.device) -> "Batch":
        """Move every tensor to `device`."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {k: v.to(device, non_blocking=True) for k, v in values.items() if isinstance(v, Tensor)}
        return replace(self, **moved)  # type: ignore[arg-type]  # `number` is no tensor and stays


@dataclass(frozen=True)
class Chunks:
    """Hold stretches low:high of the histories and the queries first:last that each of them answers."""

    low: np.ndarray  # (C,) int64
    high: np.ndarray  # (C,) int64
    first: np.ndarray  # (C,) int64
    last: np.ndarray  # (C,) int64

    def __len__(self) -> int:
        return len(self.low)


class Batches:
    """Cut queries into batches; the same queries and the same order of chunks give the same tensors."""

    def __init__(
        self,
        queries: Queries,
        architecture: Architecture,
        clock: PopularityClock,
        counted: Covisitation | None = None,
    ) -> None:
        self.queries = queries
        self.size = len(clock)
        self.chunks = cut_chunks(queries, architecture.context, 2 * architecture.length)
        self._gaps = gap_buckets(queries.histories.times, queries.histories.bounds)
        self._states: PairStates = pair_states(queries.histories)
        self._snapshot = clock.latest(queries.time)
        self._following = Following(counted, queries) if counted is not None else None
        found = np.concatenate([[0], np.cumsum(queries.stop - queries.start)])
        self._targets = found[self.chunks.last] - found[self.chunks.first]  # (C,)

    def in_order(self, chunks: int) -> Iterator[Batch]:
        """Yield every query once, short chunks first, at most `chunks` of them a batch."""
        order = np.argsort(self.chunks.high - self.chunks.low, kind="stable")
        for chosen in self._split(order, chunks):
            yield self.batch(chosen)

    def shuffled(self, chunks: int, targets: int, generator: np.random.Generator) -> list[np.ndarray]:
        """Return the chunks (each once) in random batches of similar length, for `batch`.

        A batch has at most `chunks` of them, and no more after it has `targets` events to be found (0: however many).
        """
        length = self.chunks.high - self.chunks.low
        # Lengths are blurred, so that the same chunks do not meet in every epoch.
        order = np.argsort(length * generator.uniform(0.8, 1.25, len(length)), kind="stable")
        batches = self._split(order, chunks, targets or inf)
        return [batches[i] for i in generator.permutation(len(batches))]

    def sample(self, generator: np.random.Generator, targets: int) -> Batch:
        """Return random chunks as one batch of at most `targets` events to be found and MOST_SCORES scores."""
        order = generator.permutation(len(self.chunks))
        asked = np.cumsum((self.chunks.last - self.chunks.first)[order])
        wanted = np.cumsum(self._targets[order])
        fits = (asked * self.size <= MOST_SCORES) & (wanted <= targets)
        return self.batch(order[: max(1, int(fits.sum()))])

    def targets_of(self, chosen: np.ndarray) -> int:
        """Return how many events there are to be found in the `chosen` chunks (B,)."""
        return int(self._targets[chosen].sum())

    def batch(self, chosen: np.ndarray) -> Batch:
        """Build the tensors of the `chosen` chunks (B,)."""
        chosen = np.sort(chosen)
        chunks, number = self._chosen(chosen)
        queries = self.queries[number]
        repeat = repeat_rows(self._states, queries)
        target_query, target_item = queries.targets()
        return Batch(
            **self._events(chunks),
            **_asked(queries, chunks),
            snapshot=torch.from_numpy(self._snapshot[number]),
            profile=torch.from_numpy(queries.profile),
            **self._followed(number),
            repeat_query=torch.from_numpy(repeat.query),
            repeat_item=torch.from_numpy(repeat.item.astype(np.int64)),
            repeat_values=torch.from_numpy(repeat.values),
            target_query=torch.from_numpy(target_query),
            target_item=torch.from_numpy(target_item.astype(np.int64)),
            target_row=torch.from_numpy(
                _find(repeat.query * self.size + repeat.item, target_query * self.size + target_item)
            ),
            number=number,
        )

    def _followed(self, number: np.ndarray) -> dict[str, Tensor]:
        if self._following is None:
            return {
                "following": torch.zeros(1, 1).expand(len(number), self.size),
                "early": torch.zeros(len(number), dtype=torch.bool),
            }
        return {
            "following": torch.from_numpy(self._following.of(number)),
            "early": torch.from_numpy(self._following.early[number]),
        }

    def _chosen(self, chosen: np.ndarray) -> tuple[Chunks, np.ndarray]:
        chunks = Chunks(*(getattr(self.chunks, f.name)[chosen] for f in fields(Chunks)))
        return chunks, spans(chunks.first, chunks.last)[1]

    def _events(self, chunks: Chunks) -> dict[str, Tensor]:
        """Return items, types and gaps (B, T), padded with zeros at the end, where causality hides them."""
        width = max(1, int((chunks.high - chunks.low).max()))
        row, event = spans(chunks.low, chunks.high)
        column = event - chunks.low[row]
        histories = self.queries.histories
        sources = {"items": histories.items, "types": histories.types, "gaps": self._gaps}
        padded = {name: np.zeros((len(chunks), width), dtype=np.int64) for name in sources}
        for name, source in sources.items():
            padded[name][row, column] = source[event]
        return {name: torch.from_numpy(values) for name, values in padded.items()}

    def _split(self, order: np.ndarray, chunks: int, targets: float = inf) -> list[np.ndarray]:
        """Split chunks in the given order so that no batch has too many chunks, scores or events to be found."""
        allowed = max(1, MOST_SCORES // max(self.size, 1))
        sizes = (self.chunks.last - self.chunks.first)[order]
        batches: list[list[int]] = [[]]
        asked = found = 0
        for chunk, size, events in zip(order.tolist(), sizes.tolist(), self._targets[order].tolist(), strict=True):
            if batches[-1] and (len(batches[-1]) == chunks or asked + size > allowed or found >= targets):
                batches.append([])
                asked = found = 0
            batches[-1].append(chunk)
            asked, found = asked + size, found + events
        return [np.array(batch) for batch in batches if batch]


def cut_chunks(queries: Queries, context: int, width: int) -> Chunks:
    """Cut the queries into chunks of at most `width` events, each query with `context` events before it."""
    user, start = queries.user.tolist(), queries.start.tolist()
    low = np.maximum(queries.first, queries.start - context).tolist()
    heads: list[int] = []
    for number in range(len(user)):
        if not heads or user[number] != user[heads[-1]] or start[number] - low[heads[-1]] > width:
            heads.append(number)
    first = np.array(heads, dtype=np.int64)
    last = np.append(first[1:], len(user))[: len(first)]
    return Chunks(np.array(low, dtype=np.int64)[first], queries.start[last - 1], first, last)


def _asked(queries: Queries, chunks: Chunks) -> dict[str, Tensor]:
    """Return which event of its chunk each query asks for (B, A), and where its answer will be (Q,)."""
    row, _ = spans(chunks.first, chunks.last)
    slot = np.arange(len(row)) - (np.cumsum(chunks.last - chunks.first) - (chunks.last - chunks.first))[row]
    asked = np.zeros((len(chunks), int(slot.max()) + 1), dtype=np.int64)
    has_history = queries.start > queries.first
    asked[row, slot] = np.where(has_history, queries.start - 1 - chunks.low[row], 0)
    place = np.where(has_history, row * asked.shape[1] + slot, asked.size)
    return {"asked": torch.from_numpy(asked), "place": torch.from_numpy(place)}


def _find(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return where in the increasing `keys` (R,) each of `wanted` (M,) is, -1 where it is not."""
    at = np.searchsorted(keys, wanted)
    found = keys[np.minimum(at, len(keys) - 1)] == wanted if len(keys) else np.zeros(len(wanted), dtype=bool)
    return np.where(found, at, -1)
