"""What a click head says of items that were taken, and of as many that were drawn.

A rank needs no probability; a calibrated head does. It is asked about events of the window, and for each of them about
one item drawn uniformly from those alive that the user did not take: half of the questions are interactions. This is
the only place where anything is drawn, and no ranking metric comes from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.backtest.contract import Clicks
from models.backtest.log import EventLog
from models.histories import Queries

QUESTIONS = 2_000  # taken items of a window that are asked about at most, spread over it
BINS = 15
_LEAST = 1e-7  # a probability of zero would cost infinitely much


@dataclass(frozen=True)
class Answers:
    """Hold the answers of a click head."""

    user: np.ndarray  # (2M,) int64, index into the log's users
    taken: np.ndarray  # (2M,) bool
    probability: np.ndarray  # (2M,) float64


def ask(head: Clicks, log: EventLog, queries: Queries, seed: int = 0) -> Answers:
    """Ask a click head about the events of the queries; `log` ends with the last of them."""
    query, item = queries.targets()
    kept = np.linspace(0, len(query) - 1, min(QUESTIONS, len(query))).astype(np.int64)
    query, item = query[kept], item[kept]
    asked = queries[query]
    drawn = draw(log, queries, query, np.random.default_rng(seed))
    says = [np.asarray(head.probabilities(asked, items), dtype=np.float64) for items in (item, drawn)]
    number = {name: n for n, name in enumerate(log.users)}
    owner = np.array([number[name] for name in queries.histories.users])[queries.user[query]]
    return Answers(np.tile(owner, 2), np.repeat([True, False], len(query)), np.concatenate(says))


def together(parts: Sequence[Answers]) -> Answers:
    """Return the answers of several windows as one."""
    return Answers(
        np.concatenate([part.user for part in parts]),
        np.concatenate([part.taken for part in parts]),
        np.concatenate([part.probability for part in parts]),
    )


def draw(log: EventLog, queries: Queries, query: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return for each of `query` (M,) an item (M,) that is alive and is not one that the user took.

    Where people take things again, that means: not at that moment; where they do not: never. Somebody who took nearly
    everything may be asked about what he took.
    """
    alive = np.searchsorted(log.about.born, queries.time[query], side="right")
    taken = np.unique(_taken(log, queries))
    whose = query if log.repeats else queries.user[query]
    item = random.integers(alive)
    for _ in range(20):
        again = np.isin(whose * len(log.catalogue) + item, taken)
        if not again.any():
            break
        item[again] = random.integers(alive[again])
    return item


def _taken(log: EventLog, queries: Queries) -> np.ndarray:
    """Return the pairs that must not be drawn: (query, item) where people take things again, else (user, item)."""
    if log.repeats:
        query, item = queries.targets()
        return query * len(log.catalogue) + item
    histories = queries.histories
    return histories.owner.astype(np.int64) * len(log.catalogue) + histories.items


def judged(answers: Answers) -> dict[str, float]:
    """Return AUC, GAUC, log loss and the expected calibration error."""
    chance = np.clip(answers.probability, _LEAST, 1 - _LEAST)
    one = np.zeros(len(chance), dtype=np.int64)
    return {
        "auc": auc(one, answers.taken, chance),
        "gauc": auc(answers.user, answers.taken, chance),
        "log_loss": float(-np.mean(np.log(np.where(answers.taken, chance, 1 - chance)))),
        "calibration_error": calibration_error(answers.taken, chance),
    }


def classification(answers: Answers) -> dict[str, Any]:
    """Return precision, recall, f1 and support of both kinds as scikit-learn reports them, and the AUC.

    An item counts as called taken from a probability of one half on.
    """
    from sklearn.metrics import classification_report, roc_auc_score

    called = answers.probability >= 0.5
    names = {"labels": [False, True], "target_names": ["drawn", "taken"]}
    found = classification_report(answers.taken, called, **names, output_dict=True, zero_division=0.0)
    return {**found, "auc": float(roc_auc_score(answers.taken, answers.probability))}


def auc(group: np.ndarray, taken: np.ndarray, score: np.ndarray) -> float:
    """Return the mean AUC of the groups, weighted by their taken items; ties count half. NaN where none has both kinds.

    With one group it is the AUC, with a group a user the GAUC of Zhou et al. 2018, "Deep Interest Network".
    """
    order = np.lexsort((score, group))
    group, taken, score = group[order], taken[order], score[order]
    head = np.flatnonzero(np.diff(group, prepend=group[0] - 1 if len(group) else 0))
    number = np.cumsum(np.bincount(head, minlength=len(group))) - 1
    tie = np.cumsum(np.append(True, (np.diff(score) != 0) | (np.diff(group) != 0))[: len(group)]) - 1
    place = np.arange(1.0, len(group) + 1)
    rank = (np.bincount(tie, place) / np.bincount(tie))[tie] - head[number]
    wins, n = np.bincount(number, taken), np.bincount(number)
    losses = n - wins
    both = (wins > 0) & (losses > 0)
    above = np.bincount(number, rank * taken) - wins * (wins + 1) / 2
    return float(np.average(above[both] / (wins * losses)[both], weights=wins[both])) if both.any() else float("nan")


def calibration_error(taken: np.ndarray, chance: np.ndarray) -> float:
    """Return the mean distance of what was said from what was, over BINS equally full bins (Naeini et al. 2015)."""
    order = np.argsort(chance, kind="stable")
    bins = [part for part in np.array_split(order, BINS) if len(part)]
    return float(sum(len(part) * abs(chance[part].mean() - taken[part].mean()) for part in bins) / max(1, len(chance)))
