"""The items that a run adds to its parent's, and the vectors that a language model gives their texts.

A run takes the items that the catalogue holds at the cut and, after them, those that only events know. A replay
takes the items and texts that the version was trained with, whatever was edited since: the version's weights name its
items, its row holds the hash of each text, and the embedding of a hash is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

import numpy as np
import psycopg

from models.text import TextEncoder
from models.timelines import Catalogue
from tidegate.queries import queries
from workers.reading import Items, Task

EMBEDDING = np.dtype("<f4")
NO_TEXT = bytes(32)  # stands where a text's sha256 would


class TextsMissing(Exception):
    """Items whose text was edited since, and of which no embedding was kept."""

    def __init__(self, items: Sequence[str]) -> None:
        self.items = tuple(items)
        super().__init__(f"no embedding was kept of the text of {', '.join(self.items[:5])}")


@dataclass(frozen=True)
class Added:
    """Items that are new to a model, with the hash of each text."""

    catalogue: Catalogue
    hashes: tuple[bytes, ...]


class Source(Protocol):
    """Where the new items of a run come from."""

    encoder: str  # identity of the language model

    def items(self, connection: psycopg.Connection[Any], task: Task, known: tuple[str, ...]) -> Items:
        """Return the numbering to read events by: the known items and the new ones."""

    def find(self, items: Items, names: list[str]) -> np.ndarray:
        """Return the numbers of items that an event names."""

    def added(self, connection: psycopg.Connection[Any], task: Task, names: list[str], width: int | None) -> Added:
        """Return new items with their embeddings, of the width that the parent has, or any where there is none."""


class CurrentCatalogue:
    """The catalogue as of a run's cut."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.model = encoder
        self.encoder = encoder.identity

    def items(self, connection: psycopg.Connection[Any], task: Task, known: tuple[str, ...]) -> Items:
        """Return the known items, then what the catalogue has beyond them."""
        items = Items(known)
        with connection.transaction(), connection.cursor("catalogue_ids") as cursor:
            items.add(item for (item,) in cursor.execute(queries["catalogue_ids"], {"cut_at": task.cut_at}))
        return items

    def find(self, items: Items, names: list[str]) -> np.ndarray:
        """Number what only events know, too."""
        return items.add(names)

    def added(self, connection: psycopg.Connection[Any], task: Task, names: list[str], width: int | None) -> Added:
        """Embed the items' texts; each text is encoded once and kept.

        The language model is loaded only where there is something to encode: it is most of a small run's memory.
        """
        asked = {"items": names, "cut_at": task.cut_at}
        texts = dict(connection.execute(queries["catalogue_texts"], asked).fetchall())
        written = [texts.get(name, "") for name in names]
        hashes = tuple(text_hash(text) for text in written)
        vectors = cached(connection, self.encoder, hashes)
        missing = dict.fromkeys(text for text, key in zip(written, hashes, strict=True) if text and key not in vectors)
        if missing:
            keep(connection, self.encoder, sorted(missing), self.model.encode)
            # Another process may have kept its own first, and what is kept is what a replay will find.
            vectors = cached(connection, self.encoder, hashes)
        return Added(Catalogue(tuple(names), stacked(vectors, hashes, width or self.model.dimensions)), hashes)


class RecordedCatalogue:
    """The items and texts that a version was trained with."""

    def __init__(self, encoder: str, width: int, names: tuple[str, ...], hashes: bytes) -> None:
        self.encoder = encoder
        self.width = width  # of an embedding
        self.names = names
        self.hashes = tuple(hashes[n : n + 32] for n in range(0, len(hashes), 32))

    def items(self, connection: psycopg.Connection[Any], task: Task, known: tuple[str, ...]) -> Items:
        """Return all items of the version."""
        return Items((*known, *self.names))

    def find(self, items: Items, names: list[str]) -> np.ndarray:
        """Leave out what the version did not know: its events were not there."""
        return items.find(names)

    def added(self, connection: psycopg.Connection[Any], task: Task, names: list[str], width: int | None) -> Added:
        """Take the kept embeddings. Raises TextsMissing where one is gone."""
        vectors = cached(connection, self.encoder, self.hashes)
        pairs = zip(self.names, self.hashes, strict=True)
        if gone := [name for name, key in pairs if key != NO_TEXT and key not in vectors]:
            raise TextsMissing(gone)
        return Added(Catalogue(self.names, stacked(vectors, self.hashes, self.width)), self.hashes)


def text_hash(text: str) -> bytes:
    """Return the name of a text."""
    return sha256(text.encode()).digest() if text else NO_TEXT


def cached(connection: psycopg.Connection[Any], encoder: str, hashes: Sequence[bytes]) -> dict[bytes, np.ndarray]:
    """Return the embeddings that were kept, by the hash of their text."""
    wanted = {"encoder": encoder, "hashes": list(set(hashes) - {NO_TEXT})}
    rows = connection.execute(queries["cached_embeddings"], wanted, binary=True)
    return {bytes(key): np.frombuffer(value, EMBEDDING) for key, value in rows}


def keep(
    connection: psycopg.Connection[Any], encoder: str, texts: list[str], encode: Callable[[Sequence[str]], np.ndarray]
) -> None:
    """Encode texts and keep what comes out, unless it was kept meanwhile."""
    vectors = np.ascontiguousarray(encode(texts), dtype=EMBEDDING)
    rows = [(encoder, text_hash(text), vector.tobytes()) for text, vector in zip(texts, vectors, strict=True)]
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(queries["insert_embedding"], rows)


def stacked(vectors: dict[bytes, np.ndarray], hashes: Sequence[bytes], width: int) -> np.ndarray:
    """Return a row (n, width) for each text, zeros for an empty one."""
    rows = np.zeros((len(hashes), width), EMBEDDING)
    for number, key in enumerate(hashes):
        if key != NO_TEXT:
            rows[number] = vectors[key]
    return rows
