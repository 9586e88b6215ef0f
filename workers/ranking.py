"""The ranking head of a version: it learns from what the gate judged by.

The candidate has not learned the holdout, so its scores there are like those of the future; and whatever the head makes
of them, the verdict has been spoken. What is read of a user with an item comes through Feast, as when it is served.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import psycopg

from models.backtest.answers import auc
from models.errors import CheckpointError
from models.histories import target_queries
from models.ranking import checkpoint, export
from models.ranking.calibration import quality
from models.ranking.examples import Examples, World, examples
from models.ranking.features import PAIR
from models.ranking.head import Head, Shape
from models.ranking.learning import RankingReport, fit_head
from models.ranking.settings import RankingSettings
from models.recommender import Recommender
from models.scorers import moved_through
from tidegate.errors import TidegateError
from tidegate.families import RANKER
from tidegate.log import get_log
from tidegate.pairs import PAIRED, pairs_before
from tidegate.postgres import Database
from tidegate.queries import queries
from tidegate.versions import Evaluation, RankingHead
from workers.material import Material
from workers.reading import narrow

log = get_log("trainer")

# Taken items that a head learns from, the latest: with eight drawn ones each, the pairs that Feast is asked about.
MOST_TAKEN = 2_000
assert PAIR == PAIRED, "what a head reads is what is asked for"


@dataclass(frozen=True)
class Ranked:
    """Hold a version's head, and what was measured of its parent's and of itself."""

    head: RankingHead
    evaluations: tuple[Evaluation, ...]


def rank_holdout(database: Database, material: Material, candidate: Recommender, seed: int) -> Ranked | None:
    """Return the head that goes with a candidate; None where the holdout has nothing to learn."""
    settings = RankingSettings(most_targets=MOST_TAKEN)
    with database.connect(autocommit=True) as connection:
        head = parent_head(connection, material.task.parent_id)
        repeats = stream_repeats(connection, material.task.stream)
    rows = holdout_rows(database, material, candidate, settings, repeats, seed)
    if rows is None:
        return None
    before = [] if head is None else first_scored(head, rows, settings)
    head = head or Head(Shape.of(settings, candidate.architecture.dimensions, 0), seed)
    report = fit_head(head, rows, settings, seed)
    said = {"settings": asdict(settings), "report": report.as_json(), "increments": head.increments}
    return Ranked(
        RankingHead(RANKER.name, checkpoint.dump(head), export.scoring(head), said), (*before, *figures(report))
    )


def parent_head(connection: psycopg.Connection[Any], parent: int | None) -> Head | None:
    """Return the head of the live version, if it has one that this code reads."""
    row = connection.execute(queries["read_ranking_head"], {"version": parent}).fetchone()
    try:
        return checkpoint.load(bytes(row[0])) if row else None
    except CheckpointError as error:
        log.warning("version %s has a head that cannot go on, so a new one begins: %s", parent, error)
        return None


def stream_repeats(connection: psycopg.Connection[Any], stream: str) -> bool:
    """Return whether the stream's users take things again."""
    row = connection.execute(queries["stream_repeats"], {"stream": stream}).fetchone()
    if row is None:
        raise TidegateError(f"There is no stream {stream}.")
    return bool(row[0])


def holdout_rows(
    database: Database,
    material: Material,
    candidate: Recommender,
    settings: RankingSettings,
    repeats: bool,
    seed: int,
) -> Examples | None:
    """Return what was taken in the holdout and what was drawn, with what Feast knew of the pairs."""
    asked = [narrow(t, learn_from=material.boundary) for t in material.timelines]
    moments = target_queries(asked)
    values = np.concatenate([np.zeros(0, dtype=np.float32), *(t.values for t in asked)])
    clock = moved_through(candidate.clock, moments)
    rows = examples(candidate, clock, moments, values, settings, World(repeats), seed)
    if rows is None:
        return None
    task, names, items = material.task, moments.histories.users, candidate.item_ids
    users = [names[user] for user in rows.user]
    numbers = [items[number] for number in rows.number]
    return rows.with_pairs(pairs_before(database, users, numbers, rows.time, task.stream, task.position, task.excluded))


def first_scored(head: Head, rows: Examples, settings: RankingSettings) -> list[Evaluation]:
    """Judge the parent's head before it learns, in questions of two items of which one was taken."""
    fair = rows[~rows.hard]
    f, taken = head.calibrations[0](head.densities(fair.inputs)[:, 0]), fair.done[:, 0]
    measured = quality(f, taken, settings.uniform)
    found = {
        "auc": auc(np.zeros(len(f), dtype=np.int64), taken, f),
        "gauc": auc(fair.user, taken, f),
        "log_loss": measured.log_loss,
        "calibration_error": measured.error,
    }
    return [Evaluation("ranking", "window", name, value) for name, value in found.items() if np.isfinite(value)]


def figures(report: RankingReport) -> list[Evaluation]:
    """Return what the new head's probabilities are worth on its latest rows, which it has not learned."""
    found = {
        "log_loss_uncalibrated": report.before.log_loss,
        "calibration_error_uncalibrated": report.before.error,
        "log_loss": report.after.log_loss,
        "calibration_error": report.after.error,
        "events": float(report.taken["taken"]),
    }
    return [Evaluation("ranking", "holdout", name, value) for name, value in found.items() if np.isfinite(value)]
