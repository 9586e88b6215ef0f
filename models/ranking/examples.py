"""What was taken, and what was drawn to compare it with.

For each taken item some are drawn from the whole catalogue, which say what an item is like, and some from the
recommender's best, which are hard to tell from it. Both are noise of a known density, so what is learned from them is
a density too (Gutmann and Hyvarinen 2010, "Noise-contrastive estimation"): with S uniform and H hard ones of k,

    p(taken | row) = sigmoid(f - ln(S + H F/k [item is among the best]))        F: items that might have been drawn

where f = ln(p(taken item = i) F), whatever S, H and k are. Of an item taken from a uniform draw of two, the probability
is sigmoid(f); of any other question it is sigmoid(f + ln(odds before anything is known of the item)).
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from models.answers import Answer
from models.batches import Batches
from models.histories import Histories, Queries, recent, spans
from models.popularity import PopularityClock
from models.ranking.features import Inputs, inputs, joined
from models.ranking.settings import RankingSettings
from models.recommender import Recommender
from models.scorers import CHUNKS
from models.timelines import EVENT_TYPES

# The binary tasks. "taken" is any of the others.
TASKS = ("taken", *EVENT_TYPES)
TRIES = 20  # draws of an item that may be drawn; somebody who took nearly everything gets fewer items


@dataclass(frozen=True)
class World:
    """Say which items may be taken."""

    repeats: bool = True  # False: nothing is taken twice
    born: np.ndarray | None = None  # (N,) unix seconds, never decreasing; None: all were there from the beginning
    category: np.ndarray | None = None  # (N,), -1 where an item has none

    def alive(self, times: np.ndarray, size: int) -> np.ndarray:
        """Return how many items (Q,) exist at `times` (Q,) unix seconds; those are the first ones."""
        if self.born is None:
            return np.full(len(times), size)
        return np.searchsorted(self.born, times, side="right").clip(1, size)


@dataclass(frozen=True)
class Examples:
    """Hold n rows: a moment, an item, and what became of them."""

    query: np.ndarray  # (n,) int64
    user: np.ndarray  # (n,) int64, index into the histories' users
    number: np.ndarray  # (n,) int64, index into the catalogue
    time: np.ndarray  # (n,) float64, unix seconds
    done: np.ndarray  # (n, len(TASKS)) bool, all false where the item was drawn
    drawn: np.ndarray  # (n,) bool
    hard: np.ndarray  # (n,) bool, drawn from the best
    noise: np.ndarray  # (n,) float32, ln(S + H F/k [among the best])
    value: np.ndarray  # (n,) float32, of a rating; NaN where there is none
    category: np.ndarray  # (n,) int64, -1 where the item has none
    inputs: Inputs

    def __len__(self) -> int:
        return len(self.query)

    def __getitem__(self, chosen: np.ndarray) -> "Examples":
        """Keep rows, given as a mask or as indices."""
        arrays = {f.name: getattr(self, f.name)[chosen] for f in fields(self) if f.name != "inputs"}
        return Examples(**arrays, inputs=self.inputs[torch.from_numpy(chosen)])

    def with_pairs(self, values: np.ndarray) -> "Examples":
        """Return the rows with what Feast says of the pairs: PAIR (n, 4), NaN = unknown."""
        return replace(self, inputs=self.inputs.with_pairs(values))

    def counts(self) -> np.ndarray:
        """Return (n, len(TASKS)) which tasks learn from a row: what was drawn, and their own events."""
        return self.done | self.drawn[:, None]


@torch.no_grad()
def examples(
    model: Recommender,
    clock: PopularityClock,
    queries: Queries,
    values: np.ndarray | None,
    settings: RankingSettings,
    world: World,
    seed: int,
) -> Examples | None:
    """Return the latest taken items of the queries and what was drawn; None where nothing was taken.

    The model must not have learned from these moments: a head that believes a score which was learned by heart is
    wrong about every later one. `values` (E,) are those of the histories' events. Rows are in order of time.
    """
    asked = recent(queries, settings.most_targets) if len(queries) else queries
    random = np.random.default_rng([seed, 7])
    parts = list(_parts(model.eval(), clock, asked, values, settings, world, random))
    if not parts:
        return None
    arrays = [f.name for f in fields(Examples) if f.name != "inputs"]
    whole = {name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays}
    order = np.lexsort((whole["query"], whole["time"]))
    return Examples(**whole, inputs=joined([part.inputs for part in parts]))[order]


def _parts(
    model: Recommender,
    clock: PopularityClock,
    queries: Queries,
    values: np.ndarray | None,
    settings: RankingSettings,
    world: World,
    random: np.random.Generator,
) -> Iterator[Examples]:
    if not len(queries):
        return
    snapshots = torch.from_numpy(clock.snapshots).to(model.device)
    for batch in Batches(queries, model.architecture, clock, model.counted).in_order(CHUNKS):
        answer = Answer.of(model, batch.to(model.device), snapshots)
        asked = queries[batch.number]
        free = Free(answer.scores.cpu().numpy(), asked, world)
        rows = _rows(free, asked, values, settings, random)
        scale = torch.from_numpy(free.scale).to(model.device)
        pair = [torch.from_numpy(rows[name]).to(model.device) for name in ("query", "number")]
        category = world.category[rows["number"]] if world.category is not None else np.full(len(rows["query"]), -1)
        query = rows.pop("query")
        yield Examples(
            query=batch.number[query],
            user=asked.user[query],
            time=asked.time[query],
            category=category.astype(np.int64),
            inputs=inputs(answer, scale, *pair),
            **rows,
        )


class Free:
    """Say which items might be taken at each of Q moments, and which of them are the best."""

    def __init__(self, scores: np.ndarray, queries: Queries, world: World) -> None:
        self.scores = scores  # (Q, N)
        self.alive = world.alive(queries.time, scores.shape[1])
        self.closed = np.arange(scores.shape[1]) >= self.alive[:, None]
        if not world.repeats:
            query, event = spans(queries.first, queries.start)
            self.closed[query, queries.histories.items[event]] = True
        self.closed[self.closed.all(axis=1)] = False  # somebody took everything: nothing is left to be told apart
        racing = np.where(self.closed, -np.inf, scores)
        peak = racing.max(axis=1)
        mean = np.exp(racing - peak[:, None]).sum(axis=1) / self.count
        self.scale = (peak + np.log(mean)).astype(np.float32)

    @property
    def count(self) -> np.ndarray:
        """Return how many items (Q,) might be drawn, at least one."""
        return np.maximum(1, (~self.closed).sum(axis=1))

    def close_taken(self, queries: Queries) -> None:
        """Close what is taken at the moments themselves: it is no example of what is not."""
        query, item = queries.targets()
        self.closed[query, item] = True

    def best(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the best items (Q, k) that might be drawn, and the score (Q,) of the last of them."""
        racing = np.where(self.closed, -np.inf, self.scores)
        items = np.argpartition(-racing, k - 1, axis=1)[:, :k] if k < racing.shape[1] else np.argsort(-racing, axis=1)
        return items, np.take_along_axis(racing, items, axis=1).min(axis=1)

    def draw(self, query: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Return an item (M,) for each of `query` (M,)."""
        item = random.integers(self.alive[query])
        for _ in range(TRIES):
            again = self.closed[query, item]
            if not again.any():
                break
            item[again] = random.integers(self.alive[query[again]])
        return item


def _rows(
    free: Free, queries: Queries, values: np.ndarray | None, settings: RankingSettings, random: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return the rows of one batch without their inputs; `query` is an index into the batch."""
    query, item, done, value = taken(queries, values)
    free.close_taken(queries)
    count = free.count
    k = min(settings.best, int(count.min()))
    best, least = free.best(k)
    many = np.repeat(query, settings.uniform)
    hard = np.repeat(query, settings.hard)
    drawn_item = np.concatenate([free.draw(many, random), best[hard, random.integers(k, size=len(hard))]])
    every, number = np.concatenate([query, many, hard]), np.concatenate([item, drawn_item])
    drawn = np.arange(len(every)) >= len(query)
    among = free.scores[every, number] >= least[every]
    noise = np.log(settings.uniform + settings.hard * count[every] / k * among)
    rows = {
        "query": every,
        "number": number,
        "done": np.concatenate([done, np.zeros((len(every) - len(query), len(TASKS)), dtype=bool)]),
        "drawn": drawn,
        "hard": np.arange(len(every)) >= len(query) + len(many),
        "noise": noise.astype(np.float32),
        "value": np.concatenate([value, np.full(len(every) - len(query), np.nan, dtype=np.float32)]),
    }
    fair = ~(drawn & free.closed[every, number])  # nothing else could be drawn, and this was taken
    return {name: part[fair] for name, part in rows.items()}


def taken(queries: Queries, values: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return query (M,), item (M,), what was done (M, len(TASKS)) and a rating's value (M,).

    Each item of a moment is there once, whatever was done with it.
    """
    query, event = queries.target_events()
    histories: Histories = queries.histories
    size = int(histories.items.max(initial=0)) + 1
    pair, place = np.unique(query * size + histories.items[event], return_inverse=True)
    done = np.zeros((len(pair), len(TASKS)), dtype=bool)
    done[:, 0] = True
    done[place, 1 + histories.types[event]] = True
    value = np.full(len(pair), np.nan, dtype=np.float32)
    if values is not None:
        rated = histories.types[event] == EVENT_TYPES.index("rating")
        value[place[rated]] = values[event[rated]]
    return pair // size, pair % size, done, value
