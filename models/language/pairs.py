"""(history, item) examples out of timelines and the items' texts.

An example is a moment's item and what the user had before the moment, the latest first. Nothing of the moment itself,
or later, is ever in a history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.histories import Queries
from models.language.model import Notation


@dataclass(frozen=True)
class Pairs:
    """Hold examples by their items; texts are looked up when they are needed."""

    histories: tuple[np.ndarray, ...]  # of item numbers, the latest first
    item: np.ndarray  # (n,) int64, what was taken

    def __len__(self) -> int:
        return len(self.item)

    def __getitem__(self, chosen: np.ndarray) -> Pairs:
        """Keep the chosen examples, given by their numbers."""
        return Pairs(tuple(self.histories[i] for i in chosen), self.item[chosen])


def pairs(queries: Queries, length: int, most: int | None = None) -> Pairs:
    """Return an example for each event to be found that has something before it, or the `most` latest ones."""
    return pairs_of(queries, *learnable(queries, most), length)


def learnable(queries: Queries, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return (query (n,), position (n,)) of each event to be found that has something before it, the `most` latest."""
    query, event = queries.target_events()
    kept = np.flatnonzero(queries.start[query] > queries.first[query])
    if most is not None and len(kept) > most:
        latest = np.argsort(-queries.time[query[kept]], kind="stable")[:most]
        kept = kept[np.sort(latest)]
    return query[kept], event[kept]


def pairs_of(queries: Queries, query: np.ndarray, event: np.ndarray, length: int) -> Pairs:
    """Return the examples of events (n,), each with the history of its query (n,)."""
    return Pairs(histories(queries[query], length), queries.histories.items[event].astype(np.int64))


def histories(queries: Queries, length: int) -> tuple[np.ndarray, ...]:
    """Return up to `length` different items before each query, the latest first."""
    items, found = queries.histories.items, []
    for first, start in zip(queries.first, queries.start, strict=True):
        before = items[first:start][::-1]
        _, places = np.unique(before[: 4 * length], return_index=True)  # four times: what repeats is said once
        found.append(before[np.sort(places)[:length]].astype(np.int64))
    return tuple(found)


class Texts:
    """The tokens of a catalogue's texts, made once."""

    def __init__(self, notation: Notation, pieces: list[list[int]]) -> None:
        self.notation, self.pieces = notation, pieces

    @classmethod
    def of(cls, notation: Notation, texts: Sequence[str]) -> Texts:
        """Return the tokens of texts."""
        return cls(notation, notation.pieces(texts))

    def __len__(self) -> int:
        return len(self.pieces)

    def item(self, number: int) -> list[int]:
        """Return an item as it is encoded for serving."""
        return self.notation.sequence([self.pieces[number]])

    def history(self, numbers: np.ndarray, most: int) -> list[int]:
        """Return a history in at most `most` tokens."""
        return self.notation.sequence([self.pieces[i] for i in numbers], most)

    def pair(self, numbers: np.ndarray, item: int, most: int) -> tuple[list[int], int]:
        """Return history and item together, and how many tokens belong to the history."""
        return self.notation.pair([self.pieces[i] for i in numbers], self.pieces[item], most)
