"""One increment, from a claimed window to a published version.

In this order, because each step's fairness rests on it: read what the position allows, score the live version
on the window before anything has learned from it, fit a copy on all but the window's last part, judge both on
that last part, publish. What the gate kept from the candidate, the next increment learns from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import psycopg
import torch

from models import checkpoint, export
from models.evaluation import RankedEvents, Scorer, metrics, rank
from models.histories import target_queries
from models.popularity import PopularityClock
from models.recommender import Recommender
from models.scorers import FrequencyScorer, ModelScorer, PopularityScorer
from models.text import TextEncoder, load_minilm
from models.training import FitReport, FitSettings, Progress, fit
from tidegate.gate import Verdict, judge
from tidegate.log import get_log
from tidegate.postgres import Database
from tidegate.settings import get_settings
from tidegate.versions import Evaluation, Followers, Publication, Vectors, publish, read_weights
from tidegate.windows import Run, Step
from workers import reading
from workers.catalogues import CurrentCatalogue
from workers.manifest import manifest
from workers.material import Material, latest_part, read_material
from workers.profiles import read_profiles
from workers.ranking import Ranked, rank_holdout
from workers.reading import Items, Task, narrow

log = get_log("trainer")

# Events of a window that are scored before training, the latest ones: enough for a figure with three digits.
SCORED_EVENTS = 10_000
# A version carries vectors of so many users; the others are answered from their newest events.
ACTIVE_USERS = 10_000
REPORTED = ("recall@1", "recall@10", "recall@20", "ndcg@10", "mrr@20", "events", "users")


@dataclass
class Stopwatch:
    """Seconds of each step of a run; `entered` hears of each step before it begins."""

    entered: Callable[[Step], None]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: Step) -> Iterator[None]:
        """Time a step."""
        self.entered(name)
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 3)

    def total(self) -> dict[str, float]:
        """Return the seconds, their sum included."""
        return self.seconds | {"total": round(sum(self.seconds.values()), 3)}


class Learner:
    """Trains run after run; the live model stays in memory between them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.encoder: TextEncoder | None = None
        self.warm: tuple[int, Recommender] | None = None  # version, model

    def train(self, run: Run, entered: Callable[[Step], None] = lambda step: None) -> dict[str, Any]:
        """Train a run and publish its version; return a report for the log.

        `entered` hears of each step before it begins, and ends the run by an error where its lease has ended.
        Each step that needs the database connects anew: a server that restarts during a fit costs nothing.
        """
        watch = Stopwatch(entered)
        with watch.step("read"), self.database.connect(autocommit=True) as connection:
            task = reading.read_task(connection, run.window_id)
            live = self.live_model(connection, task)
            material = self.read(connection, task, live)
        with watch.step("score"):
            evaluations = score_window(material, live)
        with watch.step("fit"):
            candidate, report = fit_candidate(material, live)
        with watch.step("judge"):
            verdict, judged = judge_candidate(material, candidate, live)
            ranked = self.ranked(material, candidate)
        with watch.step("export"), self.database.connect(autocommit=True) as connection:
            publication = self.publication(connection, run, material, candidate, verdict, (*evaluations, *judged))
        if ranked is not None:
            publication = replace(
                publication, head=ranked.head, evaluations=(*publication.evaluations, *ranked.evaluations)
            )
        publication.manifest["fit"] = asdict(report)  # type: ignore[index]
        publication.manifest["seconds"] = watch.total()  # type: ignore[index]
        with watch.step("publish"), self.database.connect(autocommit=True) as connection:
            version = publish(connection, publication)
        if verdict.promoted:
            self.warm = (version, candidate)
        return summary(task, version, verdict, watch)

    def ranked(self, material: Material, candidate: Recommender) -> Ranked | None:
        """Return the candidate's ranking head, where the settings ask for one."""
        if not get_settings().ranking_head:
            return None
        return rank_holdout(self.database, material, candidate, seed(material))

    def live_model(self, connection: psycopg.Connection[Any], task: Task) -> Recommender | None:
        """Return the live model, from memory if it is the one that was promoted last."""
        if task.parent_id is None:
            return None
        if self.warm is None or self.warm[0] != task.parent_id:
            self.warm = (task.parent_id, checkpoint.load(read_weights(connection, task.parent_id)))
        return deepcopy(self.warm[1])

    def text_encoder(self) -> TextEncoder:
        """Return the language model, loaded once."""
        if self.encoder is None:
            path = get_settings().text_model
            self.encoder = TextEncoder(path) if path else load_minilm()
        return self.encoder

    def read(self, connection: psycopg.Connection[Any], task: Task, live: Recommender | None) -> Material:
        """Read all that the run may know; the live model grows by the items that are new."""
        return read_material(self.database, connection, task, live, CurrentCatalogue(self.text_encoder()))

    def publication(
        self,
        connection: psycopg.Connection[Any],
        run: Run,
        material: Material,
        candidate: Recommender,
        verdict: Verdict,
        evaluations: tuple[Evaluation, ...],
    ) -> Publication:
        """Gather what becomes rows; vectors only where the version goes live."""
        users, seen = Vectors((), np.zeros((0, 0))), np.zeros(0)
        if verdict.promoted:
            users, seen = self.user_vectors(connection, material, candidate)
        correction = export.estimate_correction(candidate, material.timelines)
        return Publication(
            run=run,
            stream=material.task.stream,
            parent_id=material.task.parent_id,
            weights=checkpoint.dump(candidate),
            scoring=export.scoring(candidate, correction),
            manifest=manifest(connection, material, self.text_encoder().identity, seed(material), device()),
            text_hashes=b"".join(material.added.hashes),
            verdict=verdict,
            evaluations=evaluations,
            items=Vectors(candidate.item_ids, export.item_vectors(candidate)),
            followers=Followers(*export.followers(candidate)),
            users=users,
            seen_until=seen,
        )

    def user_vectors(
        self, connection: psycopg.Connection[Any], material: Material, model: Recommender
    ) -> tuple[Vectors, np.ndarray]:
        """Return the vectors of the most recently active users, and the time of the newest event in each."""
        names = reading.active_users(connection, material.task, ACTIVE_USERS)
        find = Items(model.item_ids).find
        found = reading.read_histories(connection, material.task, names, model.architecture.length, find)
        listed = [t for t in found if len(t)]
        last = np.array([t.times[-1] for t in listed])
        now = float(last.max(initial=0.0)) + 1e-6
        profiles = read_profiles(self.database, material.task, [t.user for t in listed], np.full(len(listed), now))
        vectors = export.user_vectors(model, listed, at=now, profiles=profiles)
        return Vectors(tuple(t.user for t in listed), vectors), last


def score_window(material: Material, live: Recommender | None) -> list[Evaluation]:
    """Score the live version and the baselines on the window, before anything has learned from it."""
    if live is None:
        return []
    start = latest_part(material.times, SCORED_EVENTS)
    clock = clock_before(start, live, material)
    asked = [narrow(t, learn_from=start) for t in material.timelines]
    scorers: dict[str, Scorer] = {
        "live": ModelScorer(live, clock),
        "popularity": PopularityScorer(clock),
        "frequency": FrequencyScorer(clock),
    }
    return [e for name, scorer in scorers.items() for e in figures(name, "window", rank(scorer, asked))]


def clock_before(start: float, live: Recommender, material: Material) -> PopularityClock:
    """Return the live version's clock, with what is to be learned and happened before `start` counted."""
    clock = live.clock.copy()
    pending = target_queries([narrow(t, learn_until=start) for t in material.timelines])
    _, event = pending.target_events()
    clock.fold(pending.histories.items[event], pending.histories.times[event])
    return clock


def fit_candidate(
    material: Material,
    live: Recommender | None,
    where: torch.device | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> tuple[Recommender, FitReport]:
    """Fit a copy of the live version, or a first model, on what is earlier than the holdout."""
    candidate = deepcopy(live) if live is not None else Recommender(material.catalogue, seed=seed(material))
    new = [narrow(t, learn_until=material.boundary) for t in material.timelines]
    report = fit(
        candidate,
        new,
        material.replay,
        FitSettings(**material.task.settings),
        seed=seed(material),
        device=where or device(),
        on_progress=on_progress or Narrator(material.task),
    )
    return candidate, report


class Narrator:
    """Says how far a fit has come, every few seconds."""

    EVERY = 5.0  # seconds

    def __init__(self, task: Task) -> None:
        self.task = task
        self.said = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """Say it if it is time."""
        if time.monotonic() - self.said >= self.EVERY:
            self.said = time.monotonic()
            log.info(
                "window %s: step %s of %s, loss %.3f",
                self.task.window_id,
                progress.step,
                progress.steps,
                progress.loss,
            )


def judge_candidate(
    material: Material, candidate: Recommender, live: Recommender | None
) -> tuple[Verdict, list[Evaluation]]:
    """Rank the holdout with all that compete, by the same clock, and ask the gate."""
    asked = [narrow(t, learn_from=material.boundary) for t in material.timelines]
    scorers: dict[str, Scorer] = {
        "candidate": ModelScorer(candidate),
        "popularity": PopularityScorer(candidate.clock),
        "frequency": FrequencyScorer(candidate.clock),
    }
    if live is not None:
        scorers["live"] = ModelScorer(live, candidate.clock)
    ranked = {name: rank(scorer, asked) for name, scorer in scorers.items()}
    verdict = judge(
        ranked["candidate"].user,
        ranked["candidate"].rank,
        ranked["popularity"].rank,
        ranked["live"].rank if "live" in ranked else None,
        tightened=material.task.tightened,
    )
    return verdict, [e for name, events in ranked.items() for e in figures(name, "holdout", events)]


def figures(subject: str, part: str, ranked: RankedEvents) -> list[Evaluation]:
    """Return the metrics of a ranking as rows."""
    measured = metrics(ranked)
    return [Evaluation(subject, part, name, float(measured[name])) for name in REPORTED]


def seed(material: Material) -> int:
    """Return the seed of a run: the window's own, so that a second attempt draws the same."""
    return material.task.window_id


def device() -> torch.device:
    """Return where to train: as the settings say, or on a GPU if there is one."""
    wanted = get_settings().device
    return torch.device("cuda" if wanted == "auto" and torch.cuda.is_available() else wanted.replace("auto", "cpu"))


def summary(task: Task, version: int, verdict: Verdict, watch: Stopwatch) -> dict[str, Any]:
    """Return what the log says of a run."""
    word = "promoted" if verdict.promoted else "refused"
    seconds = watch.total()
    return {
        "window_id": task.window_id,
        "version_id": version,
        "verdict": verdict.verdict,
        "seconds": seconds,
        "summary": f"version {version} {word} after {seconds['total']:.1f} s: {verdict.reason}",
    }
