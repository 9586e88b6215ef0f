"""What came out of a method's course, as rows: one metric of one window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.backtest import answers
from models.backtest.prequential import BACK, Course, Judged
from models.evaluation import earned

MAIN = "ndcg@10"  # what is compared, chosen by and drawn
SEGMENTED = ("recall@10", "ndcg@10", "full_auc")
MEGABYTE = 2**20


@dataclass(frozen=True)
class Row:
    """Hold one figure; a metric of a segment is called `ndcg@10/cold-items`."""

    method: str
    seed: int
    window: int  # 0 = the base
    metric: str
    value: float


@dataclass(frozen=True)
class Run:
    """Hold one method's course with one seed."""

    method: str
    seed: int
    course: Course

    def rows(self, parts: Mapping[str, np.ndarray]) -> Iterator[Row]:
        """Yield every figure; `parts` are the segments' masks over the events of the log."""
        base = self.course.base
        yield Row(self.method, self.seed, 0, "learning_seconds", base.seconds)
        yield Row(self.method, self.seed, 0, "learning_cpu_seconds", base.cpu)
        yield Row(self.method, self.seed, 0, "learning_peak_mb", base.peak / MEGABYTE)
        for place, judged in enumerate(self.course.judged):
            gained = gains(judged.ranks.rank, judged.ranks.alive)
            found = earnings(judged.ranks.event, gained, parts) | covered(judged) | costs(judged)
            found |= forgotten(self.course.judged[: place + 1])
            found |= answers.judged(judged.said) if judged.said else {}
            for metric, value in found.items():
                yield Row(self.method, self.seed, judged.window.number, metric, value)

    def over(self, numbers: Sequence[int]) -> list[Judged]:
        """Return the judgements of the windows with these numbers."""
        return [judged for judged in self.course.judged if judged.window.number in numbers]

    def ranks(self, numbers: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (position in the log, rank, items that took part), each (M,), of the events of these windows."""
        chosen = [judged.ranks for judged in self.over(numbers)]
        nothing = np.zeros(0, dtype=np.int64)
        event = np.concatenate([nothing, *(ranks.event for ranks in chosen)])
        rank = np.concatenate([nothing, *(ranks.rank for ranks in chosen)])
        return event, rank, np.concatenate([nothing, *(ranks.alive for ranks in chosen)])

    def summary(self, parts: Mapping[str, np.ndarray], numbers: Sequence[int]) -> dict[str, float]:
        """Return each figure over all events of the windows with these numbers; an event counts once."""
        event, rank, alive = self.ranks(numbers)
        each = [costs(j) | covered(j) | forgotten(self.course.judged[: j.window.number]) for j in self.over(numbers)]
        found = earnings(event, gains(rank, alive), parts)
        for name in sorted({name for figures in each for name in figures}):
            values = [figures[name] for figures in each if name in figures]
            found[name] = float(max(values) if name.endswith("peak_mb") else np.mean(values))
        said = [judged.said for judged in self.over(numbers) if judged.said]
        cost = self.course.base
        base = {"base_seconds": cost.seconds, "base_cpu_seconds": cost.cpu, "base_peak_mb": cost.peak / MEGABYTE}
        return found | base | (answers.judged(answers.together(said)) if said else {})


def gains(rank: np.ndarray, alive: np.ndarray) -> dict[str, np.ndarray]:
    """Return what each rank (M,) among `alive` (M,) items earns under each metric.

    The full AUC is the share of the other items that rank below: it tells methods apart where none reaches the top ten.
    """
    return earned(rank) | {"full_auc": (alive - rank) / np.maximum(alive - 1, 1)}


def earnings(event: np.ndarray, gained: Mapping[str, np.ndarray], parts: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the means of the gains (M,) of the events (M,), and of those in each segment."""
    if not len(event):
        return {"events": 0.0}
    found = {"events": float(len(event))} | {metric: float(gain.mean()) for metric, gain in gained.items()}
    for name, mask in parts.items():
        inside = mask[event]
        found[f"events/{name}"] = float(inside.sum())
        if inside.any():
            found |= {f"{metric}/{name}": float(gained[metric][inside].mean()) for metric in SEGMENTED}
    return found


def covered(judged: Judged) -> dict[str, float]:
    """Return the share of the catalogue that was among the first SHOWN of anybody in the window."""
    return {"coverage@10": float(np.mean(judged.ranks.shown > 0))} if len(judged.ranks.rank) else {}


def costs(judged: Judged) -> dict[str, float]:
    """Return what ranking and learning the window took."""
    events = judged.window.stop - judged.window.start
    return {
        "learning_seconds": judged.learning.seconds,
        "learning_cpu_seconds": judged.learning.cpu,
        "learning_rows_per_second": events / max(judged.learning.seconds, 1e-9),
        "learning_peak_mb": judged.learning.peak / MEGABYTE,
        "scoring_seconds": judged.scoring.seconds,
        "scoring_peak_mb": judged.scoring.peak / MEGABYTE,
    }


def forgotten(judged: Sequence[Judged]) -> dict[str, float]:
    """Return how much less is earned on the window BACK windows ago than just after it was learned."""
    last = judged[-1]
    if last.back is None or not len(last.back):
        return {}
    then = judged[-1 - BACK].after
    assert then is not None
    return {f"forgetting_{BACK}": float(earned(then)[MAIN].mean() - earned(last.back)[MAIN].mean())}
