"""One increment.

The first version and the thousandth come from the same function: a model that has learned nothing yet takes more
epochs and larger steps, and that is all the difference. Determinism is a promise here (same timelines, parent, seed and
kind of device: the same bytes), so every random choice comes from the seed, one thread adds up on a CPU, and a GPU is
asked for its repeatable kernels.
"""

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from models.answers import Answer
from models.batches import Batches
from models.histories import check_items, recent, target_queries
from models.methods.contract import Lesson, Rule
from models.methods.rules import needs_replay, rules
from models.objective import Objective, softmax
from models.optimisers import Optimiser
from models.recommender import Recommender
from models.settings import FitSettings
from models.timelines import Timeline

__all__ = ["FitReport", "FitSettings", "Progress", "fit"]

SETTLING_TARGETS = 8_192  # plenty for ten weights
SETTLING_CANDIDATES = 1_024  # of a sampled softmax; drawn once, so more than a step's
SETTLING_STEPS = 40
SETTLING_RIDGE = 1e-4


@dataclass(frozen=True)
class Progress:
    """Tell how far a fit has come; `loss` is the batch's mean cross-entropy in nats."""

    epoch: int
    step: int
    steps: int
    loss: float


@dataclass(frozen=True)
class FitReport:
    """Tell what a fit did; `losses` holds the mean cross-entropy in nats of each epoch."""

    epochs: int
    steps: int
    queries: int
    targets: int
    losses: tuple[float, ...]
    seconds: float


def fit(
    model: Recommender,
    new: Sequence[Timeline],
    replay: Sequence[Timeline] = (),
    settings: FitSettings | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    on_progress: Callable[[Progress], None] | None = None,
) -> FitReport:
    """Train `model` in place on the target moments of `new`, mixed with those of `replay`.

    The model's popularity clock counts the target events of `new` (those of `replay` were counted in their own
    window). Give each moment in one window only. Raises UnknownItem where a timeline points beyond the catalogue;
    an interrupted fit leaves a model to be thrown away.
    """
    settings, device, began = settings or FitSettings(), torch.device(device), time.perf_counter()
    model.to(device)
    kept = rules(model, settings, np.random.default_rng([seed, 1]))
    lesson = _lesson(model, new, replay, settings)
    losses: list[float] = []
    steps = 0
    dropout = settings.dropout if model.increments else None
    with repeatable(seed, device, settings.threads), _dropping(model.train(), dropout):
        if len(lesson.queries):
            model.fit_profile(lesson.queries.profile)
            for loss in _epochs(model, lesson, kept, settings, seed, on_progress):
                losses.append(float(np.mean(loss)))
                steps += len(loss)
    model.to("cpu").eval().zero_grad(set_to_none=True)
    model.clock.thin()
    model.increments += 1
    targets = int((lesson.queries.stop - lesson.queries.start).sum())
    return FitReport(len(losses), steps, len(lesson.queries), targets, tuple(losses), time.perf_counter() - began)


def _lesson(model: Recommender, new: Sequence[Timeline], replay: Sequence[Timeline], settings: FitSettings) -> Lesson:
    """Return what is to be learned, and move the model's clock through the window."""
    queries = target_queries([*new, *replay])
    check_items(queries.histories, len(model))
    is_new = queries.user < len(new)
    latest = recent(queries[is_new], settings.max_targets)
    _, event = queries[is_new].target_events()
    model.clock.advance(queries.histories.items[event], queries.histories.times[event], latest.time)
    chosen = ~is_new
    chosen[np.flatnonzero(is_new)[np.isin(queries[is_new].start, latest.start)]] = True
    return Lesson(queries[chosen], is_new[chosen])


def _epochs(
    model: Recommender,
    lesson: Lesson,
    kept: Sequence[Rule],
    settings: FitSettings,
    seed: int,
    on_progress: Callable[[Progress], None] | None,
) -> Iterator[list[float]]:
    """Yield the losses of each epoch's steps."""
    generator = np.random.default_rng(seed)
    for rule in kept:
        rule.begin(model, lesson)
    if not needs_replay(settings):
        lesson = Lesson(lesson.new, np.ones(len(lesson.new), dtype=bool))
    batches = Batches(lesson.queries, model.architecture, model.clock)
    if model.increments == 0:
        settle_terms(model, batches, settings, generator)
    objective = Objective(model, lesson, settings, generator, kept)
    plan = _plan(model, batches, settings, generator)
    optimiser = Optimiser(model, settings, steps=sum(map(len, plan)))
    for epoch, chosen in enumerate(plan):
        losses = []
        for chunks in chosen:
            losses.append(optimiser.step(objective(batches.batch(chunks).to(model.device))))
            if on_progress:
                on_progress(Progress(epoch, optimiser.taken, optimiser.steps, losses[-1]))
        yield losses
    optimiser.finish()
    for rule in kept:
        rule.finish(model)


def _plan(
    model: Recommender, batches: Batches, settings: FitSettings, generator: np.random.Generator
) -> list[list[np.ndarray]]:
    """Return the batches of each epoch."""
    epochs = settings.epochs
    if model.increments == 0:
        enough = math.ceil(settings.first_steps / max(1, len(batches.chunks) // settings.chunks))
        epochs = max(settings.first_epochs, min(enough, settings.most_epochs))
    return [batches.shuffled(settings.chunks, generator) for _ in range(epochs)]


def settle_terms(model: Recommender, batches: Batches, settings: FitSettings, generator: np.random.Generator) -> None:
    """Solve for the weights of popularity and repeat consumption, as if there were no vectors.

    Ten weights under a softmax are a convex problem, and a gradient step at a time they would need longer than the
    whole fit: they answer for each other, and the vectors would learn to make up for them meanwhile. From here on they
    are trained together with everything else.
    """
    batch = batches.sample(generator, SETTLING_TARGETS).to(model.device)
    loss = softmax(model, settings, generator)
    drawn = loss.draw(SETTLING_CANDIDATES)
    users = torch.zeros(len(batch.place), model.architecture.dimensions, device=model.device)
    items = torch.zeros(len(model), model.architecture.dimensions, device=model.device)
    snapshots = torch.from_numpy(model.clock.snapshots).to(model.device)
    terms = [model.popularity, model.repeat]
    solver = torch.optim.LBFGS(terms, max_iter=SETTLING_STEPS, line_search_fn="strong_wolfe")

    def evaluate() -> Tensor:
        solver.zero_grad()
        # A little ridge: where nothing repeats, a weight would otherwise run to infinity.
        ridge = SETTLING_RIDGE * sum(t.square().sum() for t in terms)
        total = loss(Answer(model, batch, users, items, snapshots), drawn).mean() + ridge
        total.backward()
        return total

    solver.step(evaluate)


@contextmanager
def repeatable(seed: int, device: torch.device, threads: int) -> Iterator[None]:
    """Make what happens inside depend on the seed alone, and leave torch as it was."""
    before, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    if device.type == "cuda":
        # cuBLAS repeats a sum only with a workspace of its own, and reads this when its first handle is made.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True)
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)
            torch.use_deterministic_algorithms(deterministic)


@contextmanager
def _dropping(model: Recommender, share: float | None) -> Iterator[None]:
    """Drop another share of the activations than the architecture says, if one is given."""
    layers = [m for m in model.modules() if isinstance(m, nn.Dropout)]
    before = [layer.p for layer in layers]
    for layer in layers if share is not None else ():
        layer.p = share or 0.0
    try:
        yield
    finally:
        for layer, p in zip(layers, before, strict=True):
            layer.p = p
