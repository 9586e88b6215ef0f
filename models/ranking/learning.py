"""One increment of the head.

It learns rows that its recommender has not learned, in the order in which things happen: score first, train the head on
those scores, then train the recommender. Scores of what was learned by heart look better than those of the future, and
a head would believe them. For the same reason nothing is replayed, for old rows were learned by the recommender:
what keeps a head from forgetting is a ridge on the way from its parent's weights.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torch.optim.optimizer import Optimizer

from models.errors import UnknownChoice
from models.optimisers import AdaGrad
from models.ranking.calibration import Quality, calibrated, quality
from models.ranking.examples import TASKS, Examples
from models.ranking.head import SENTIMENT, VALUE, Head
from models.ranking.settings import RankingSettings
from models.sdca import Rows, solve
from models.training import repeatable

SOLVED = "sdca"


@dataclass(frozen=True)
class RankingReport:
    """Tell what an increment of the head did."""

    rows: int  # that were learned
    taken: dict[str, int]  # of each task, among them
    losses: tuple[float, ...]  # mean of each epoch's steps, nats
    gap: float | None  # of "sdca": the largest of the tasks'
    before: Quality  # of the latest rows, "taken", as they were learned
    after: Quality  # the same, by a map that was fitted on earlier rows
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON knows it."""
        return asdict(self)


def fit_head(head: Head, rows: Examples, settings: RankingSettings, seed: int = 0) -> RankingReport:
    """Train `head` in place on all rows but the latest, and calibrate it on those."""
    began, (learned, held) = time.perf_counter(), parted(rows, settings.held)
    with repeatable(seed, torch.device("cpu"), 1):
        head.fit_numbers(learned.inputs.numbers)
        _note(head, learned)
        losses, gap = _learn(head.train(), learned, settings, seed)
    head.eval()
    before, after = calibrate(head, held, settings)
    head.increments += 1
    counts = dict(zip(TASKS, learned.done.sum(axis=0).tolist(), strict=True))
    return RankingReport(len(learned), counts, losses, gap, before, after, time.perf_counter() - began)


def parted(rows: Examples, held: float) -> tuple[Examples, Examples]:
    """Return the rows that are learned and the latest ones, whole moments; all of them are both where they are few."""
    edge = rows.time[min(len(rows) - 1, int(len(rows) * (1 - held)))]
    late = rows.time >= edge
    return (rows[~late], rows[late]) if late.any() and not late.all() else (rows, rows)


def calibrate(head: Head, held: Examples, settings: RankingSettings) -> tuple[Quality, Quality]:
    """Give the head a map for each task; return how good "taken" is without one, and with one of earlier rows."""
    fair = held[~held.hard]
    f, middle = head.densities(fair.inputs), fair.time < np.median(fair.time)
    maps = []
    for k in range(len(TASKS)):
        counted = fair.counts()[:, k]
        maps.append(calibrated(settings.calibration, f[counted, k], fair.done[counted, k], settings.uniform))
    head.calibrations = tuple(maps)
    taken, draws = fair.done[:, 0], settings.uniform
    earlier = calibrated(settings.calibration, f[middle, 0], taken[middle], draws)
    late, hit = f[~middle, 0], taken[~middle]
    return quality(late, hit, draws), quality(earlier(late), hit, draws)


def _note(head: Head, rows: Examples) -> None:
    """Count what is learned; the first rows of a task say how common it is, the first ratings what a rating is."""
    taken = rows.done.sum(axis=0)
    new = (head.learned == 0) & torch.from_numpy(taken > 0)
    common = np.log(np.maximum(taken, 1) / max(1, taken[0])).astype(np.float32)
    head.bias.data[: len(TASKS)][new] = torch.from_numpy(common)[new]
    if not bool(head.learned[TASKS.index("rating")]) and np.isfinite(rows.value).any():
        known = rows.value[np.isfinite(rows.value)]
        head.rating = torch.tensor([float(known.mean()), max(float(known.std()), 1e-3)])
    head.learned += torch.from_numpy(taken)


def _learn(head: Head, rows: Examples, settings: RankingSettings, seed: int) -> tuple[tuple[float, ...], float | None]:
    if settings.optimiser == SOLVED:
        return (), solve_tasks(head, rows, settings, seed)
    first = head.increments == 0
    epochs, rate = (settings.first_epochs, settings.first_rate) if first else (settings.epochs, settings.rate)
    optimiser, parent = optimiser_for(head, settings, rate), [p.detach().clone() for p in head.parameters()]
    given, known = _Table(head, rows), np.random.default_rng([seed, 3])
    steps = epochs * -(-len(rows) // settings.rows)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / (steps + 1))
    losses = []
    for _ in range(epochs):
        parts = []
        for chosen in np.array_split(known.permutation(len(rows)), -(-len(rows) // settings.rows)):
            optimiser.zero_grad()
            cost = given.cost(head, torch.from_numpy(chosen), settings)
            (cost + _way(head, parent, settings.ridge)).backward()
            optimiser.step()
            schedule.step()
            parts.append(float(cost.detach()))
        losses.append(float(np.mean(parts)))
    return tuple(losses), None


def _way(head: Head, parent: Sequence[Tensor], ridge: float) -> Tensor:
    """Return what the way from the parent's weights costs."""
    parts = zip(head.parameters(), parent, strict=True)
    return 0.5 * ridge * torch.stack([(now - then).square().sum() for now, then in parts]).sum()


def optimiser_for(head: Head, settings: RankingSettings, rate: float) -> Optimizer:
    """Return the optimiser that the settings name; the ridge is in the loss. Raises UnknownChoice."""
    made = {
        "adamw": lambda p: torch.optim.AdamW(p, lr=rate, weight_decay=0.0),
        "adam": lambda p: torch.optim.Adam(p, lr=rate),
        "sgd": lambda p: torch.optim.SGD(p, lr=rate, momentum=0.9, nesterov=True),
        "adagrad": lambda p: AdaGrad([{"params": list(p), "lr": rate}]),
    }
    if settings.optimiser not in made:
        raise UnknownChoice.of("optimiser", settings.optimiser, (*made, SOLVED))
    optimiser: Optimizer = made[settings.optimiser](head.parameters())
    return optimiser


class _Table:
    """Hold the rows as tensors."""

    def __init__(self, head: Head, rows: Examples) -> None:
        self.x = head.read(rows.inputs)
        self.retrieval = rows.inputs.retrieval
        self.noise = torch.from_numpy(rows.noise)
        self.done = torch.from_numpy(rows.done).float()
        self.counts = torch.from_numpy(rows.counts()).float()
        mean, scale = head.rating
        self.value = (torch.from_numpy(rows.value) - mean) / scale
        self.category = torch.from_numpy(rows.category)

    def cost(self, head: Head, chosen: Tensor, settings: RankingSettings) -> Tensor:
        """Return what the chosen rows cost (), tasks weighed as the settings say."""
        said = head.answers(self.x[chosen], self.retrieval[chosen])
        f = said[:, : len(TASKS)] - self.noise[chosen, None]
        each = binary_cross_entropy_with_logits(f, self.done[chosen], reduction="none") * self.counts[chosen]
        tasks = each.sum(dim=0) / self.counts[chosen].sum(dim=0).clamp_min(1.0)
        tasks = torch.where(head.learned > 0, tasks, 0.0)
        return weighed(tasks, head, settings) + self._auxiliary(said, chosen, settings)

    def _auxiliary(self, said: Tensor, chosen: Tensor, settings: RankingSettings) -> Tensor:
        total, value = said.new_zeros(()), self.value[chosen]
        rated = torch.isfinite(value)
        if bool(rated.any()):
            total = total + settings.value * (said[rated, VALUE] - value[rated]).square().mean()
            liked = (value[rated] > 0).float()
            total = total + settings.sentiment * binary_cross_entropy_with_logits(said[rated, SENTIMENT], liked)
        category = self.category[chosen]
        named = (category >= 0) & (category < head_categories(said))
        if settings.category and bool(named.any()):
            total = total + settings.category * cross_entropy(said[named, SENTIMENT + 1 :], category[named])
        return total


def head_categories(said: Tensor) -> int:
    """Return how many categories are answered for."""
    return said.shape[1] - SENTIMENT - 1


def weighed(tasks: Tensor, head: Head, settings: RankingSettings) -> Tensor:
    """Return the sum of the tasks' losses, even or by their uncertainty (Kendall, Gal and Cipolla 2018)."""
    if settings.weighing == "learned":
        known = head.learned > 0
        return (torch.exp(-head.doubt) * tasks + 0.5 * head.doubt)[known].sum()
    if settings.weighing != "even":
        raise UnknownChoice.of("weighing", settings.weighing, ("even", "learned"))
    return tasks.sum()


@torch.no_grad()
def solve_tasks(head: Head, rows: Examples, settings: RankingSettings, seed: int) -> float:
    """Move the linear weights of each task to the minimum; return the largest duality gap."""
    x, gaps = _with_one(head.read(rows.inputs)), [0.0]
    f = head.answers(head.read(rows.inputs), rows.inputs.retrieval)[:, : len(TASKS)].double().numpy()
    for k in np.flatnonzero(rows.done.any(axis=0)).tolist():
        counted = rows.counts()[:, k]
        label = np.where(rows.done[counted, k], 1.0, -1.0)
        problem = Rows(x[counted], label, np.ones(len(label)), (f[:, k] - rows.noise)[counted])
        found = solve(problem, settings.ridge, gap=settings.gap, epochs=settings.passes, seed=seed)
        head.wide[k] += torch.from_numpy(found.w[:-1]).float()
        head.bias[k] += float(found.w[-1])
        gaps.append(found.gap)
    return max(gaps)


def _with_one(x: Tensor) -> np.ndarray:
    return torch.cat([x, torch.ones_like(x[:, :1])], dim=1).double().numpy()
