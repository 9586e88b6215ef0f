"""The terms of the score as a convex head on a frozen tower.

With the vectors held still, the twelve weights of popularity, repetition and following are a logistic regression: was
this item taken, or is it one that was drawn? What the tower says is an offset, and the ridge is on the way from the
parent's weights, so a window without evidence changes nothing. Solved by models.sdca, whose duality gap is the
certificate.
"""

from dataclasses import replace

import numpy as np
import torch

from models.answers import Answer
from models.batches import Batch, Batches
from models.methods.contract import Lesson
from models.popularity import MONTH
from models.recommender import Recommender
from models.scorers import CHUNKS
from models.sdca import Rows, Solution, solve
from models.settings import FitSettings

DRAWN = 10  # items that are compared with one that was taken
MOST_ROWS = 100_000  # the latest ones; a row takes some microseconds a pass
# Three of popularity, seven of repetition, two of following; one weight more is the bias, which ranks nothing.
TERMS = 12


def solve_terms(model: Recommender, lesson: Lesson, settings: FitSettings, seed: int) -> Solution:
    """Move the term weights of `model` to the solution; everything else stays as it is."""
    rows = term_rows(model.eval(), lesson, settings.history_weight, np.random.default_rng(seed))
    scaled, scale = standardised(rows)
    found = solve(scaled, settings.head_ridge, settings.head_lasso, settings.head_gap, settings.head_epochs, seed)
    way = torch.from_numpy(found.w[:TERMS] / scale[:TERMS]).float().to(model.device)
    with torch.no_grad():
        model.popularity.add_(way[:3])
        model.repeat.add_(way[3:10])
        model.following.add_(way[10:])
    return found


def standardised(rows: Rows) -> tuple[Rows, np.ndarray]:
    """Divide features by their root mean square, so that one ridge suits all; return that scale (k,) too."""
    scale = np.sqrt(np.square(rows.features).mean(axis=0)) if len(rows) else np.ones(rows.features.shape[1])
    scale = np.where(scale > 0, scale, 1.0)
    return replace(rows, features=rows.features / scale), scale


@torch.no_grad()
def term_rows(model: Recommender, lesson: Lesson, history_weight: float, random: np.random.Generator) -> Rows:
    """Return the targets of a lesson and DRAWN uniform items for each as rows of a logistic regression."""
    batches = Batches(lesson.queries, model.architecture, model.clock, model.counted)
    snapshots = torch.from_numpy(model.clock.snapshots).to(model.device)
    parts = []
    for batch in batches.in_order(CHUNKS):
        answer = Answer.of(model, batch.to(model.device), snapshots)
        parts.append(_rows(answer, lesson, history_weight, random))
    if not parts:
        return Rows(np.zeros((0, TERMS + 1)), *(np.zeros(0) for _ in range(3)))
    whole = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    kept = np.sort(np.argsort(-whole.pop(), kind="stable")[:MOST_ROWS])
    return Rows(*(column[kept] for column in whole))


def _rows(answer: Answer, lesson: Lesson, history_weight: float, random: np.random.Generator) -> tuple:
    """Return features, labels, weights, offsets and times of one batch's rows."""
    batch = answer.batch
    query = batch.target_query.repeat_interleave(DRAWN + 1)
    item = batch.target_item.repeat_interleave(DRAWN + 1)
    drawn = torch.arange(len(item), device=item.device) % (DRAWN + 1) > 0
    item[drawn] = torch.from_numpy(random.integers(len(answer.items), size=int(drawn.sum()))).to(item.device)
    features = term_features(answer, query, item)
    weights = torch.cat([answer.model.popularity, answer.model.repeat, answer.model.following])
    vectors = (answer.users[query] * answer.items[item]).sum(dim=1).float()
    number = batch.number[query.cpu().numpy()]
    return (
        torch.cat([features, torch.ones_like(features[:, :1])], dim=1).double().cpu().numpy(),
        np.where(drawn.cpu().numpy(), -1.0, 1.0),
        np.where(lesson.is_new[number], 1.0, history_weight),
        (vectors + features @ weights).double().cpu().numpy(),
        lesson.queries.time[number],
    )


def term_features(answer: Answer, query: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
    """Return P, R and F (P, 12) of pairs of query (P,) and item (P,)."""
    popular = answer.snapshots[answer.batch.snapshot[query], item]  # (P, 3)
    row = touched_row(answer.batch, query, item, len(answer.items))
    known = (row >= 0)[:, None]
    values = answer.batch.repeat_values
    values = torch.cat([values, values.new_zeros(1, values.shape[1])])[row]  # row -1 is the one of zeros
    follows = answer.batch.following[query, item][:, None]
    return torch.cat([popular, values, popular[:, MONTH : MONTH + 1] * known, follows, follows * known], dim=1)


def touched_row(batch: Batch, query: torch.Tensor, item: torch.Tensor, size: int) -> torch.Tensor:
    """Return (P,) the repeat row of each pair of query and item, -1 where the user never touched it."""
    keys = batch.repeat_query * size + batch.repeat_item  # (R,) increasing
    wanted = query * size + item
    if not len(keys):
        return torch.full_like(wanted, -1)
    at = torch.searchsorted(keys, wanted).clamp_max(len(keys) - 1)
    return torch.where(keys[at] == wanted, at, -1)
