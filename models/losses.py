"""What it costs to be wrong: softmax over the catalogue, whole or sampled, or each item by itself.

Every loss gives one number a target, in nats, so that rows can be weighed afterwards.

Up to twenty thousand items the whole softmax costs less than the care that sampling needs. Beyond, a few hundred
shared candidates stand for the rest, each weighed by how likely it was drawn (Bengio and Senecal 2008; Yi et al. 2019,
"Sampling-bias-corrected neural modeling"). What the user touched before is never left to chance: where people buy
again, those few items hold most of the probability, and a sample would miss them.

Binary cross-entropy with sampled negatives believes in its positives too much, because the negatives that it never
saw do not count; gBCE (Petrov and Macdonald 2023, "gSASRec") takes that back by a power of the positive's probability.
"""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from models.answers import Answer
from models.batches import Batch


def softmax_loss(answer: Answer, smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy (M,) of each target against all N items.

    `smoothing` is the share of the probability that is wanted for all items alike (Szegedy et al. 2016).
    """
    batch, scores = answer.batch, answer.scores
    total = scores.logsumexp(dim=1)
    right = total[batch.target_query] - scores[batch.target_query, batch.target_item]
    if not smoothing:
        return right
    return (1 - smoothing) * right + smoothing * (total - scores.mean(dim=1))[batch.target_query]


def sampled_softmax_loss(answer: Answer, candidates: Tensor, log_expected: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return an estimate (M,) of `softmax_loss` from shared candidates.

    `candidates` (S,) are items drawn with replacement; `log_expected` (S,) is the logarithm of how often each was
    expected among the draws. Touched items and the targets themselves count exactly, so they are struck out of the
    sample.
    """
    batch, target = answer.batch, answer.target
    scores = answer.untouched(candidates)
    rest = scores - log_expected
    rest = rest.masked_fill(touched_candidates(batch, candidates, len(answer.items)), float("-inf"))
    rest = rest[batch.target_query]
    rest = rest.masked_fill(candidates[None, :] == batch.target_item[:, None], float("-inf"))  # (M, S)
    own = _by_query(answer.touched, batch)[batch.target_query]  # (M, most touched)
    alone = target.masked_fill(batch.target_row >= 0, float("-inf"))[:, None]
    total = torch.cat([rest, own, alone], dim=1).logsumexp(dim=1)
    if not smoothing:
        return total - target
    mean = scores @ (-log_expected).softmax(dim=0)  # (Q,), an estimate of the mean over all items
    return total - (1 - smoothing) * target - smoothing * mean[batch.target_query]


def binary_loss(answer: Answer, negatives: Tensor, t: float = 0.0, smoothing: float = 0.0, bias: float = 0.0) -> Tensor:
    """Return gBCE (M,) of each target against shared negatives (k,), drawn uniformly and each named once.

    With the sampling rate a = k / (N - 1) the positive's probability counts with the power b = a (t (1 - 1/a) + 1/a):
    t = 0 is plain binary cross-entropy, t = 1 makes the scores as sober as if all items had been negatives. What was
    taken at the same moment is nobody's negative. `bias` is taken from all scores, which changes no ranking.
    """
    batch = answer.batch
    rate = len(negatives) / max(1, len(answer.items) - 1)
    power = rate * (t * (1 - 1 / rate) + 1 / rate)
    wrong = softplus(answer.of_items(negatives) - bias)  # (Q, k)
    column = answer.columns(negatives)[batch.target_item]
    found = column >= 0
    taken = torch.zeros_like(wrong, dtype=torch.bool)
    taken[batch.target_query[found], column[found]] = True
    rejected = wrong.masked_fill(taken, 0.0).sum(dim=1)[batch.target_query]
    target = answer.target - bias
    accepted = (1 - smoothing) * power * softplus(-target) + smoothing * softplus(target)
    return (accepted + rejected) / (len(negatives) + 1)


def trusted(losses: Tensor, clip: float = 0.0, doubt: float = 0.0) -> Tensor:
    """Make strange rows of `losses` (M,) count less: clicks by accident, bots, errors of a feed.

    A row beyond `clip` nats has no gradient (a truncated loss). With `doubt` a row counts by that power of its own
    probability, the batch's mean weight being one (a reweighted loss). Wang et al. 2021, "Denoising implicit feedback
    for recommendation". Both also distrust what is merely rare, so both are off unless asked for.
    """
    if doubt:
        weight = (-doubt * losses.detach()).exp()
        losses = losses * weight / weight.mean().clamp_min(1e-12)
    return losses.clamp_max(clip) if clip else losses


def touched_candidates(batch: Batch, candidates: Tensor, size: int) -> Tensor:
    """Tell (Q, S) which of the candidates (S,) a query's user touched before, in a catalogue of `size` items."""
    keys = batch.repeat_query * size + batch.repeat_item  # (R,) increasing
    wanted = torch.arange(len(batch.place), device=keys.device)[:, None] * size + candidates[None, :]
    if not len(keys):
        return torch.zeros_like(wanted, dtype=torch.bool)
    return keys[torch.searchsorted(keys, wanted).clamp_max(len(keys) - 1)] == wanted


def _by_query(touched: Tensor, batch: Batch) -> Tensor:
    """Return the touched scores (R,) as rows (Q, most touched), filled with -inf."""
    sizes = torch.bincount(batch.repeat_query, minlength=len(batch.place))
    begins = sizes.cumsum(0) - sizes
    column = torch.arange(len(touched), device=touched.device) - begins[batch.repeat_query]
    empty = touched.new_full((len(batch.place), int(sizes.max())), float("-inf"))
    return empty.index_put((batch.repeat_query, column), touched)
