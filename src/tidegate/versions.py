"""Model versions: published in one transaction, live by one pointer flip.

Either everything about a version is there (weights, evaluations, verdict, item and user vectors, the pointer)
or nothing is, and only the run that still holds the window's newest fencing token can publish.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import numpy as np
import psycopg
from psycopg.types.json import Jsonb

from tidegate.errors import LeaseLost, WeightsMismatch
from tidegate.gate import Verdict
from tidegate.queries import queries
from tidegate.windows import Run


@dataclass(frozen=True)
class Vectors:
    """Vectors by name: `ids` (n,), `values` (n, d) float32."""

    ids: tuple[str, ...]
    values: np.ndarray


@dataclass(frozen=True)
class Followers:
    """What is taken after each of n items: item i is followed by items[bounds[i]:bounds[i + 1]], places among the n."""

    bounds: np.ndarray  # (n + 1,)
    items: np.ndarray  # (p,)
    weights: np.ndarray  # (p,) float32

    @classmethod
    def unknown(cls, size: int) -> Followers:
        """Return followers of `size` items of which nothing is known."""
        return cls(np.zeros(size + 1, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))


@dataclass(frozen=True)
class Evaluation:
    """One figure that a run measured."""

    subject: str  # live, candidate, popularity, frequency or ranking
    slice: str  # window or holdout
    metric: str
    value: float


@dataclass(frozen=True)
class RankingHead:
    """What says how probable it is that a user takes an item that the version ranks."""

    service: str  # the feature service that it reads
    content: bytes  # a safetensors file
    scoring: Mapping[str, Any] | None  # its numbers, where it is linear
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class Publication:
    """All that becomes a version."""

    run: Run
    stream: str
    parent_id: int | None
    weights: bytes  # a safetensors file
    scoring: Mapping[str, Any]
    manifest: Mapping[str, Any]
    text_hashes: bytes  # sha256 of the text of each item that it added
    verdict: Verdict
    evaluations: tuple[Evaluation, ...]
    items: Vectors
    followers: Followers
    users: Vectors
    seen_until: np.ndarray = field(repr=False)  # (users,) unix seconds of the newest event in each user vector
    head: RankingHead | None = None


def publish(connection: psycopg.Connection, publication: Publication) -> int:
    """Publish a version, and flip the pointer if it was promoted; return its id.

    Raises LeaseLost, and leaves nothing behind, when another attempt has taken the window over.
    """
    with connection.transaction():
        finish(connection, publication.run)
        version = insert_version(connection, publication)
        insert_evaluations(connection, publication, version)
        insert_head(connection, publication.head, version)
        if publication.verdict.promoted:
            copy_vectors(connection, publication, version)
            connection.execute(
                queries["deploy"],
                {"version": version, "reason": publication.verdict.reason},
            )
    return version


def finish(connection: psycopg.Connection, run: Run) -> None:
    """End the run and its window. The row locks keep any other attempt out until the commit."""
    if connection.execute(queries["finish_run"], {"token": run.token, "window": run.window_id}).rowcount == 0:
        raise LeaseLost(f"Run {run.run_id} on window {run.window_id} was taken over before it could publish.")
    connection.execute(queries["finish_window"], {"window": run.window_id})


def insert_version(connection: psycopg.Connection, publication: Publication) -> int:
    """Insert the weights, unless they are there already, and the version."""
    name = sha256(publication.weights).hexdigest()
    connection.execute(queries["insert_weights"], {"hash": name, "content": publication.weights})
    row = connection.execute(
        queries["insert_version"],
        {
            "stream": publication.stream,
            "parent": publication.parent_id,
            "window": publication.run.window_id,
            "run": publication.run.run_id,
            "hash": name,
            "scoring": Jsonb(dict(publication.scoring)),
            "manifest": Jsonb(dict(publication.manifest)),
            "texts": publication.text_hashes,
            "verdict": publication.verdict.verdict,
            "reason": publication.verdict.reason,
        },
    ).fetchone()
    assert row is not None
    return int(row[0])


def insert_evaluations(connection: psycopg.Connection, publication: Publication, version: int) -> None:
    """Insert what the run measured, each figure with the version that it is about."""
    about = {"candidate": version, "live": publication.parent_id, "ranking": version}
    with connection.cursor() as cursor:
        cursor.executemany(
            queries["insert_evaluation"],
            [
                (
                    publication.run.run_id,
                    e.subject,
                    e.slice,
                    e.metric,
                    e.value,
                    about.get(e.subject),
                )
                for e in publication.evaluations
            ],
        )


def insert_head(connection: psycopg.Connection, head: RankingHead | None, version: int) -> None:
    """Insert the version's ranking head, if it has one."""
    if head is not None:
        scoring = None if head.scoring is None else Jsonb(dict(head.scoring))
        said = {"version": version, "service": head.service, "content": head.content, "scoring": scoring}
        connection.execute(queries["insert_ranking_head"], said | {"manifest": Jsonb(dict(head.manifest))})


def copy_vectors(connection: psycopg.Connection, publication: Publication, version: int) -> None:
    """Write the item and user vectors of a version."""
    with connection.cursor() as cursor:
        with cursor.copy(queries["copy_item_vectors"]) as copy:
            for row in item_rows(publication.items, publication.followers):
                copy.write_row((version, *row))
        with cursor.copy(queries["copy_user_vectors"]) as copy:
            rows = zip(
                publication.users.ids,
                literals(publication.users.values),
                publication.seen_until,
                strict=True,
            )
            for name, value, seen in rows:
                copy.write_row((version, name, value, datetime.fromtimestamp(float(seen), UTC)))


def item_rows(items: Vectors, followers: Followers) -> Iterable[tuple[str, str, list[str], list[float]]]:
    """Yield name, vector, followers and their weights of each item."""
    names = np.array(items.ids, dtype=object)
    for number, vector in enumerate(literals(items.values)):
        own = slice(followers.bounds[number], followers.bounds[number + 1])
        yield items.ids[number], vector, names[followers.items[own]].tolist(), followers.weights[own].tolist()


def literals(vectors: np.ndarray) -> Iterable[str]:
    """Yield each row of `vectors` (n, d) as pgvector reads it."""
    for vector in vectors.tolist():
        yield "[" + ",".join(f"{value:.7g}" for value in vector) + "]"


def read_weights(connection: psycopg.Connection, version: int) -> bytes:
    """Return the weights of a version. Raises WeightsMismatch unless they hash to their name."""
    row = connection.execute(queries["read_weights"], {"version": version}).fetchone()
    if row is None:
        raise WeightsMismatch(
            f"Version {version} has no weights.",
            "List the versions with `tidegate versions list`.",
        )
    name, content = row
    if sha256(content).hexdigest() != name:
        raise WeightsMismatch(
            f"The weights of version {version} do not hash to their name {name[:12]}….",
            "Restore the row from a backup, or go back with `tidegate versions deploy` to another version.",
        )
    return bytes(content)
