"""Exemplars by herding: a few vectors whose mean is that of many."""

from collections.abc import Sequence

import numpy as np
import torch

from models.batches import Batches
from models.histories import target_queries
from models.recommender import Recommender
from models.scorers import CHUNKS
from models.timelines import Timeline


def herded(items: np.ndarray, vectors: np.ndarray, number: int) -> np.ndarray:
    """Return which (m,) of n events are exemplars, at most `number`, in increasing order.

    `items` (n,) and `vectors` (n, d) are what was taken and the user's vector before it.
    """
    order = np.argsort(items, kind="stable")
    names, begins, sizes = np.unique(items[order], return_index=True, return_counts=True)
    chosen = [
        order[low : low + size][herd(vectors[order[low : low + size]], share)]
        for low, size, share in zip(begins, sizes, shares(sizes, number), strict=True)
    ]
    return np.sort(np.concatenate(chosen)) if len(names) else np.zeros(0, dtype=np.int64)


def shares(sizes: np.ndarray, number: int) -> np.ndarray:
    """Divide `number` in proportion to `sizes` (k,), largest remainders first; nothing gets more than its size."""
    total = int(sizes.sum())
    if total <= number:
        return sizes
    exact = sizes * (number / total)
    whole = np.floor(exact).astype(np.int64)
    more = np.argsort(whole - exact, kind="stable")[: number - int(whole.sum())]
    whole[more] += 1
    return whole


def herd(vectors: np.ndarray, number: int) -> np.ndarray:
    """Return `number` rows of `vectors` (n, d), one after the other, so that the mean so far is nearest to the whole.

    Welling 2009, "Herding dynamical weights to learn".
    """
    mean, total = vectors.mean(axis=0), np.zeros(vectors.shape[1])
    left = np.ones(len(vectors), dtype=bool)
    chosen = []
    for k in range(1, min(number, len(vectors)) + 1):
        distance = np.square(mean - (total + vectors) / k).sum(axis=1)
        best = int(np.argmin(np.where(left, distance, np.inf)))
        chosen.append(best)
        left[best] = False
        total += vectors[best]
    return np.array(chosen, dtype=np.int64)


@torch.inference_mode()
def states(model: Recommender, timelines: Sequence[Timeline]) -> np.ndarray:
    """Return the user's vector (Q, d) before each target moment of the timelines."""
    queries, items = target_queries(timelines), model.eval().item_vectors()
    vectors = np.zeros((len(queries), model.architecture.dimensions), dtype=np.float32)
    for batch in Batches(queries, model.architecture, model.clock, model.counted).in_order(CHUNKS):
        vectors[batch.number] = model.user_vectors(batch, items).cpu().numpy()
    return vectors
