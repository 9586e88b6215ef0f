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
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from models.ahead import ahead
from models.answers import Answer
from models.batches import Batches
from models.head import solve_terms
from models.histories import check_items, recent, target_queries
from models.methods.contract import Lesson, Rule
from models.methods.rules import rules, taught
from models.objective import Objective, softmax
from models.optimisers import SOLVED, Optimiser
from models.parallel import parts, share
from models.recommender import Recommender
from models.settings import FitSettings
from models.stopping import Stopping, parted
from models.timelines import Timeline

__all__ = ["FitReport", "FitSettings", "Progress", "fit"]

SETTLING_TARGETS = 8_192  # plenty for ten weights
SETTLING_CANDIDATES = 1_024  # of a sampled softmax; drawn once, so more than a step's
SETTLING_STEPS = 40
SETTLING_RIDGE = 1e-4
OTHER_PROCESS = 1_000_003  # between the seeds of two processes of one fit: each drops out other activations


@dataclass(frozen=True)
class Progress:
    """Tell how far a fit has come; `loss` is what a mean row of the batch costs, in nats."""

    epoch: int
    step: int  # batches so far
    steps: int  # batches at most
    loss: float


@dataclass(frozen=True)
class FitReport:
    """Tell what a fit did; `losses` holds the mean of each epoch's batches, in nats."""

    epochs: int
    steps: int
    queries: int
    targets: int
    losses: tuple[float, ...]
    seconds: float
    gap: float | None = None  # of a head that was solved: nats a row that it is from the minimum at most


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
    learned = Learned()
    with repeatable(seed, device, settings.threads), _tower(model.train(), settings):
        if len(lesson.queries):
            model.fit_profile(lesson.queries.profile)
            learned = _learn(model, lesson, kept, settings, seed, on_progress)
    model.to("cpu").eval().zero_grad(set_to_none=True)
    model.clock.thin()
    model.counted.settle()
    model.increments += 1
    return FitReport(
        epochs=len(learned.losses),
        steps=learned.steps,
        queries=len(lesson.queries),
        targets=int((lesson.queries.stop - lesson.queries.start).sum()),
        losses=tuple(learned.losses),
        seconds=time.perf_counter() - began,
        gap=learned.gap,
    )


@dataclass
class Learned:
    """Hold what came of the steps."""

    losses: list[float] = field(default_factory=list)  # of each epoch
    steps: int = 0
    gap: float | None = None


def _lesson(model: Recommender, new: Sequence[Timeline], replay: Sequence[Timeline], settings: FitSettings) -> Lesson:
    """Return what is to be learned, and move the model's clock through the window."""
    queries = target_queries([*new, *replay])
    check_items(queries.histories, len(model))
    is_new = queries.user < len(new)
    latest = recent(queries[is_new], settings.max_targets)
    _, event = queries[is_new].target_events()
    model.clock.advance(queries.histories.items[event], queries.histories.times[event], latest.time)
    model.counted.advance(queries.histories, event, latest.time)
    chosen = ~is_new
    chosen[np.flatnonzero(is_new)[np.isin(queries[is_new].start, latest.start)]] = True
    return Lesson(queries[chosen], is_new[chosen])


def _learn(
    model: Recommender,
    lesson: Lesson,
    kept: Sequence[Rule],
    settings: FitSettings,
    seed: int,
    on_progress: Callable[[Progress], None] | None,
) -> Learned:
    """Learn a lesson, between the rules' preparations and their last words."""
    for rule in kept:
        rule.begin(model, lesson)
    lesson = taught(lesson, settings, model.increments)
    if settings.optimiser == SOLVED and model.increments:
        learned = Learned(gap=solve_terms(model, lesson, settings, seed).gap)
    else:
        learned = _take_steps(model, lesson, kept, settings, np.random.default_rng(seed), on_progress)
    for rule in kept:
        rule.finish(model)
    return learned


def _take_steps(
    model: Recommender,
    lesson: Lesson,
    kept: Sequence[Rule],
    settings: FitSettings,
    generator: np.random.Generator,
    on_progress: Callable[[Progress], None] | None,
) -> Learned:
    if not len(lesson.queries):
        return Learned()
    patience = settings.patience if model.increments else settings.first_patience
    lesson, late = parted(lesson, settings.validation if patience else 0.0)
    batches = Batches(lesson.queries, model.architecture, model.clock, model.counted)
    if model.increments == 0:
        settle_terms(model, batches, settings, generator)
    objective = Objective(model, lesson, settings, generator, kept)
    stopping = Stopping(model, late, objective.loss, settings)
    plan = _plan(model, batches, settings, generator)
    optimiser = Optimiser(model, settings, steps=sum(math.ceil(len(epoch) / settings.accumulate) for epoch in plan))
    learned, taken = Learned(), 0
    for epoch, chosen in enumerate(plan):
        losses = []
        for loss in _epoch(model, batches, chosen, objective, optimiser, settings):
            losses.append(loss)
            taken += 1
            if on_progress:
                on_progress(Progress(epoch, taken, sum(map(len, plan)), loss))
        learned.losses.append(float(np.mean(losses)))
        if stopping.enough():
            break
    learned.steps = optimiser.taken
    optimiser.finish()
    stopping.restore()
    return learned


def _epoch(
    model: Recommender,
    batches: Batches,
    chosen: Sequence[np.ndarray],
    objective: Objective,
    optimiser: Optimiser,
    settings: FitSettings,
) -> Iterator[float]:
    """Follow the gradient of each batch; yield what its rows cost."""
    prefetch = settings.prefetch if settings.prefetch is not None else 2 * (model.device.type == "cuda")
    shares = [share(chunks) for chunks in chosen]
    ready = ahead(batches.batch, [part for part in shares if len(part)], model.device, prefetch)
    for chunks, part in zip(chosen, shares, strict=True):
        batch = next(ready) if len(part) else None
        yield optimiser.follow(objective(batch, batches.targets_of(chunks)))
    optimiser.step()


def _plan(
    model: Recommender, batches: Batches, settings: FitSettings, generator: np.random.Generator
) -> list[list[np.ndarray]]:
    """Return the batches of each epoch."""
    epochs = settings.epochs
    if model.increments == 0:
        steps = len(batches.shuffled(settings.chunks, settings.batch_targets, np.random.default_rng(0)))
        enough = math.ceil(settings.first_steps / max(1, steps))
        epochs = max(settings.first_epochs, min(enough, settings.most_epochs))
    return [batches.shuffled(settings.chunks, settings.batch_targets, generator) for _ in range(epochs)]


def settle_terms(model: Recommender, batches: Batches, settings: FitSettings, generator: np.random.Generator) -> None:
    """Solve for the weights of popularity, repeat consumption and what follows, as if there were no vectors.

    Twelve weights under a softmax are a convex problem, and a gradient step at a time they would need longer than the
    whole fit: they answer for each other, and the vectors would learn to make up for them meanwhile. From here on they
    are trained together with everything else.
    """
    batch = batches.sample(generator, SETTLING_TARGETS).to(model.device)
    loss = softmax(model, settings, generator)
    drawn = loss.draw(SETTLING_CANDIDATES)
    users = torch.zeros(len(batch.place), model.architecture.dimensions, device=model.device)
    items = torch.zeros(len(model), model.architecture.dimensions, device=model.device)
    snapshots = torch.from_numpy(model.clock.snapshots).to(model.device)
    terms = [model.popularity, model.repeat, model.following]
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
        torch.manual_seed(seed + OTHER_PROCESS * parts()[0])
        torch.use_deterministic_algorithms(True)
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)
            torch.use_deterministic_algorithms(deterministic)


@contextmanager
def _tower(model: Recommender, settings: FitSettings) -> Iterator[None]:
    """Let the tower drop another share of its activations and compile it, where the settings say so."""
    layers = [m for m in model.modules() if isinstance(m, nn.Dropout)]
    before = [layer.p for layer in layers]
    for layer in layers if settings.dropout is not None and model.increments else ():
        layer.p = settings.dropout or 0.0
    if settings.compile:
        model.encoder.forward = torch.compile(model.encoder.forward, dynamic=True)  # type: ignore[method-assign]
    try:
        yield
    finally:
        model.encoder.__dict__.pop("forward", None)
        for layer, p in zip(layers, before, strict=True):
            layer.p = p
