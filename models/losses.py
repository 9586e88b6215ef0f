"""Softmax over the catalogue: whole while it is small, sampled beyond.

Up to twenty thousand items the whole softmax costs less than the care that sampling needs. Beyond, a few hundred
shared candidates stand for the rest, each weighed by how likely it was drawn (Bengio and Senecal 2008; Yi et al. 2019,
"Sampling-bias-corrected neural modeling"). What the user touched before is never left to chance: where people buy
again, those few items hold most of the probability, and a sample would miss them.
"""

import torch
from torch import Tensor

from models.batches import Batch
from models.recommender import Recommender

WHOLE_SOFTMAX_ITEMS = 20_000


def softmax_loss(model: Recommender, users: Tensor, items: Tensor, batch: Batch, snapshots: Tensor) -> Tensor:
    """Return the mean cross-entropy () of the batch's M targets, each against all N items.

    `users` are (Q, d), `items` (N, d), `snapshots` (S, N, 3).
    """
    scores = model.sum_of_terms(users, items, batch, snapshots)  # (Q, N)
    total = scores.logsumexp(dim=1)
    return (total[batch.target_query] - scores[batch.target_query, batch.target_item]).mean()


def sampled_softmax_loss(
    model: Recommender,
    users: Tensor,
    items: Tensor,
    batch: Batch,
    snapshots: Tensor,
    candidates: Tensor,
    log_expected: Tensor,
) -> Tensor:
    """Return an estimate () of `softmax_loss` from shared candidates.

    `candidates` (S,) are items drawn with replacement; `log_expected` (S,) is the logarithm of how often each was
    expected among the draws. Touched items and the targets themselves count exactly, so they are struck out of the
    sample.
    """
    touched = _pairs(model, batch, snapshots, users, items, batch.repeat_query, batch.repeat_item)
    touched = touched + model.again(batch, snapshots)  # (R,)
    new = _pairs(model, batch, snapshots, users, items, batch.target_query, batch.target_item)  # (M,)
    known = batch.target_row >= 0
    target = torch.where(known, _padded(touched)[batch.target_row], new)
    rest = (users @ items[candidates].T).float() - log_expected
    rest = rest + model.popular(snapshots[:, candidates])[batch.snapshot]
    rest = rest.masked_fill(touched_candidates(batch, candidates, len(model)), float("-inf"))[batch.target_query]
    rest = rest.masked_fill(candidates[None, :] == batch.target_item[:, None], float("-inf"))  # (M, S)
    own = _by_query(touched, batch)[batch.target_query]  # (M, most touched)
    alone = target.masked_fill(known, float("-inf"))[:, None]
    return (torch.cat([rest, own, alone], dim=1).logsumexp(dim=1) - target).mean()


def touched_candidates(batch: Batch, candidates: Tensor, size: int) -> Tensor:
    """Tell (Q, S) which of the candidates (S,) a query's user touched before, in a catalogue of `size` items."""
    keys = batch.repeat_query * size + batch.repeat_item  # (R,) increasing
    wanted = torch.arange(len(batch.place), device=keys.device)[:, None] * size + candidates[None, :]
    if not len(keys):
        return torch.zeros_like(wanted, dtype=torch.bool)
    return keys[torch.searchsorted(keys, wanted).clamp_max(len(keys) - 1)] == wanted


def _pairs(
    model: Recommender,
    batch: Batch,
    snapshots: Tensor,
    users: Tensor,
    items: Tensor,
    query: Tensor,
    item: Tensor,
) -> Tensor:
    """Return the scores (P,) of pairs of query (P,) and item (P,), without the repeat term."""
    popular = model.popular(snapshots[batch.snapshot[query], item])
    return (users[query] * items[item]).sum(dim=1).float() + popular


def _by_query(touched: Tensor, batch: Batch) -> Tensor:
    """Return the touched scores (R,) as rows (Q, most touched), filled with -inf."""
    sizes = torch.bincount(batch.repeat_query, minlength=len(batch.place))
    begins = sizes.cumsum(0) - sizes
    column = torch.arange(len(touched), device=touched.device) - begins[batch.repeat_query]
    empty = touched.new_full((len(batch.place), int(sizes.max())), float("-inf"))
    return empty.index_put((batch.repeat_query, column), touched)


def _padded(touched: Tensor) -> Tensor:
    """Append a zero, so that row -1 exists where nothing was touched."""
    return torch.cat([touched, touched.new_zeros(1)])
