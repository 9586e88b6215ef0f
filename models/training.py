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
from torch import Tensor

from models.batches import Batch, Batches
from models.histories import Queries, check_items, recent, target_queries
from models.losses import WHOLE_SOFTMAX_ITEMS, sampled_softmax_loss, softmax_loss
from models.popularity import MONTH
from models.recommender import Recommender
from models.timelines import Timeline

SETTLING_TARGETS = 8_192  # plenty for ten weights
SETTLING_CANDIDATES = 1_024  # of a sampled softmax; drawn once, so more than a step's
SETTLING_STEPS = 40
SETTLING_RIDGE = 1e-4


@dataclass(frozen=True)
class FitSettings:
    """Say how an increment learns. Each default has its reason; none was chosen for one data set."""

    first_epochs: int = 2  # from nothing; more targets teach better than more epochs of fewer
    first_steps: int = 200  # from nothing at least: a small first window takes more epochs ...
    most_epochs: int = 20  # ... but no more than these, for it would learn them by heart
    epochs: int = 2  # from a parent: more forgets faster than it learns
    first_rate: float = 3e-3  # AdamW step from nothing
    rate: float = 1e-3  # AdamW step from a parent
    # The ten term weights are shared by all users and items: every batch tells much about them.
    term_rate: float = 5.0  # times the rate
    warmup: float = 0.1  # share of the steps in which the rate rises; it then falls to zero
    weight_decay: float = 0.01  # on matrices only
    clip: float = 1.0  # largest norm of a gradient
    chunks: int = 32  # stretches of timelines in a batch
    max_targets: int = 300_000  # new events to be found, the latest ones; a bound on the time of a first version
    whole_softmax_items: int = WHOLE_SOFTMAX_ITEMS  # beyond this catalogue size the softmax is sampled
    negatives: int = 512  # shared candidates of a sampled softmax
    ema: float = 0.0  # share of the averaged weights that a step keeps; 0 = no averaging
    threads: int = 1  # on a CPU; another number adds up in another order and gives other bytes


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
    queries = _queries(model, new, replay, settings)
    losses: list[float] = []
    steps = 0
    with _repeatable(seed, device, settings.threads):
        model.to(device).train()
        if len(queries):
            model.fit_profile(queries.profile)
            for loss in _epochs(model, queries, settings, seed, on_progress):
                losses.append(float(np.mean(loss)))
                steps += len(loss)
        model.to("cpu").eval()
    model.clock.thin()
    model.increments += 1
    targets = int((queries.stop - queries.start).sum())
    return FitReport(len(losses), steps, len(queries), targets, tuple(losses), time.perf_counter() - began)


def _queries(model: Recommender, new: Sequence[Timeline], replay: Sequence[Timeline], settings: FitSettings) -> Queries:
    """Return what is to be learned, and move the model's clock through the window."""
    queries = target_queries([*new, *replay])
    check_items(queries.histories, len(model))
    is_new = queries.user < len(new)
    latest = recent(queries[is_new], settings.max_targets)
    _, event = queries[is_new].target_events()
    model.clock.advance(queries.histories.items[event], queries.histories.times[event], latest.time)
    chosen = ~is_new
    chosen[np.flatnonzero(is_new)[np.isin(queries[is_new].start, latest.start)]] = True
    return queries[chosen]


def _epochs(
    model: Recommender,
    queries: Queries,
    settings: FitSettings,
    seed: int,
    on_progress: Callable[[Progress], None] | None,
) -> Iterator[list[float]]:
    """Yield the losses of each epoch's steps."""
    generator = np.random.default_rng(seed)
    batches = Batches(queries, model.architecture, model.clock)
    loss_of = Loss(model, settings, generator)
    if model.increments == 0:
        settle_terms(model, batches, loss_of, generator)
    plan = _plan(model, batches, settings, generator)
    optimiser = Optimiser(model, settings, steps=sum(map(len, plan)))
    for epoch, chosen in enumerate(plan):
        losses = []
        for chunks in chosen:
            losses.append(optimiser.step(loss_of(batches.batch(chunks).to(model.device))))
            if on_progress:
                on_progress(Progress(epoch, optimiser.taken, optimiser.steps, losses[-1]))
        yield losses
    optimiser.finish()


def _plan(
    model: Recommender, batches: Batches, settings: FitSettings, generator: np.random.Generator
) -> list[list[np.ndarray]]:
    """Return the batches of each epoch."""
    epochs = settings.epochs
    if model.increments == 0:
        enough = math.ceil(settings.first_steps / max(1, len(batches.chunks) // settings.chunks))
        epochs = max(settings.first_epochs, min(enough, settings.most_epochs))
    return [batches.shuffled(settings.chunks, generator) for _ in range(epochs)]


class Loss:
    """Choose the softmax that the catalogue's size allows, and draw its candidates."""

    def __init__(self, model: Recommender, settings: FitSettings, generator: np.random.Generator) -> None:
        self.model, self.generator = model, generator
        self.whole = len(model) <= settings.whole_softmax_items
        self.negatives = settings.negatives
        self.snapshots = torch.from_numpy(model.clock.snapshots).to(model.device)
        # Half uniform, half by what the month took: rare items are seen, and frequent ones are weighed often.
        taken = model.clock.counts[:, MONTH] + 1e-12
        self.chance = 0.5 / len(model) + 0.5 * taken / taken.sum()
        self.cumulative = np.cumsum(self.chance)

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss () of a batch."""
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=self.model.device.type == "cuda"):
            return self.of(*self.model.vectors(batch), batch, self.draw(self.negatives))

    def of(self, users: Tensor, items: Tensor, batch: Batch, drawn: tuple[Tensor, Tensor]) -> Tensor:
        """Return the loss () of a batch, given its user vectors (Q, d), the item vectors (N, d) and candidates."""
        if self.whole:
            return softmax_loss(self.model, users, items, batch, self.snapshots)
        return sampled_softmax_loss(self.model, users, items, batch, self.snapshots, *drawn)

    def draw(self, number: int) -> tuple[Tensor, Tensor]:
        """Return candidates (S,) and the logarithm (S,) of how often each was expected; none for a whole softmax."""
        chosen = self.generator.random(0 if self.whole else number) * self.cumulative[-1]
        drawn = np.searchsorted(self.cumulative, chosen)
        drawn = np.minimum(drawn, len(self.chance) - 1)
        expected = np.log(number * self.chance[drawn]).astype(np.float32)
        return torch.from_numpy(drawn).to(self.model.device), torch.from_numpy(expected).to(self.model.device)


def settle_terms(model: Recommender, batches: Batches, loss_of: Loss, generator: np.random.Generator) -> None:
    """Solve for the weights of popularity and repeat consumption, as if there were no vectors.

    Ten weights under a softmax are a convex problem, and a gradient step at a time they would need longer than the
    whole fit: they answer for each other, and the vectors would learn to make up for them meanwhile. From here on they
    are trained together with everything else.
    """
    batch = batches.sample(generator, SETTLING_TARGETS).to(model.device)
    drawn = loss_of.draw(SETTLING_CANDIDATES)
    users = torch.zeros(len(batch.place), model.architecture.dimensions, device=model.device)
    items = torch.zeros(len(model), model.architecture.dimensions, device=model.device)
    terms = [model.popularity, model.repeat]
    solver = torch.optim.LBFGS(terms, max_iter=SETTLING_STEPS, line_search_fn="strong_wolfe")

    def evaluate() -> Tensor:
        solver.zero_grad()
        # A little ridge: where nothing repeats, a weight would otherwise run to infinity.
        loss = loss_of.of(users, items, batch, drawn) + SETTLING_RIDGE * sum(t.square().sum() for t in terms)
        loss.backward()
        return loss

    solver.step(evaluate)


class Optimiser:
    """AdamW with a rate that rises and falls, clipped gradients and, if asked for, averaged weights."""

    def __init__(self, model: Recommender, settings: FitSettings, steps: int) -> None:
        rate = settings.first_rate if model.increments == 0 else settings.rate
        self.model, self.settings, self.steps, self.taken = model, settings, steps, 0
        self.adam = torch.optim.AdamW(_groups(model, settings, rate), fused=False, foreach=True)
        rise = max(1.0, settings.warmup * steps)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.adam, lambda step: min((step + 1) / rise, (steps - step) / max(1.0, steps - rise))
        )
        self.average = {n: p.detach().clone() for n, p in model.named_parameters()} if settings.ema else {}

    def step(self, loss: Tensor) -> float:
        """Follow the gradient of `loss` once; return its value."""
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        self.adam.step()
        self.schedule.step()
        self.taken += 1
        for name, parameter in self.model.named_parameters() if self.average else ():
            self.average[name].lerp_(parameter.detach(), 1 - self.settings.ema)
        return float(loss.detach())

    def finish(self) -> None:
        """Put the averaged weights in place, if there are any."""
        for name, parameter in self.model.named_parameters() if self.average else ():
            parameter.data.copy_(self.average[name])


def _groups(model: Recommender, settings: FitSettings, rate: float) -> list[dict]:
    """Return the parameters in three groups: matrices that decay, vectors that do not, and the terms."""
    terms = {"popularity", "repeat"}
    named = [(n, p) for n, p in model.named_parameters() if n not in terms]
    return [
        {"params": [p for _, p in named if p.ndim > 1], "lr": rate, "weight_decay": settings.weight_decay},
        {"params": [p for _, p in named if p.ndim <= 1], "lr": rate, "weight_decay": 0.0},
        {"params": [model.popularity, model.repeat], "lr": rate * settings.term_rate, "weight_decay": 0.0},
    ]


@contextmanager
def _repeatable(seed: int, device: torch.device, threads: int) -> Iterator[None]:
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
