"""What serving needs: vectors and a handful of numbers.

An answer in SQL is a dot product, thirteen weights and a few counts, so it needs no torch and cannot disagree with what
was trained. A stored user vector grows stale with the next event; until it is computed again, `correction` moves it
towards what the user took since.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from models.batches import Batches
from models.histories import Queries, check_items, queries_at, recent, target_queries
from models.recommender import Recommender
from models.scorers import CHUNKS
from models.timelines import Timeline

SCORING_FORMAT = 2  # 1 knew of nothing that follows


@torch.inference_mode()
def item_vectors(model: Recommender) -> np.ndarray:
    """Return v (N, d) float32 of every item, in the order of the catalogue."""
    return model.eval().item_vectors().cpu().numpy()


def followers(model: Recommender) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return bounds (N + 1,), items (p,) and weights (p,): bounds[i]:bounds[i + 1] of them follow item i."""
    found = model.counted.followers().weights
    return found.indptr, found.indices, found.data


def user_vectors(
    model: Recommender,
    timelines: Sequence[Timeline],
    at: float | None = None,
    profiles: np.ndarray | None = None,
) -> np.ndarray:
    """Return u (U, d) float32 of each timeline's user, from the events strictly before `at` (unix seconds) or all.

    `profiles` (U, len(PROFILE)) are the raw features as of then, NaN = unknown. Only the latest hundred events count,
    and the time that passed since them does not. Raises UnknownItem.
    """
    return _vectors(model, queries_at(timelines, at, profiles))


def scoring(model: Recommender, correction: float = 0.0) -> dict:
    """Return the weights that turn vectors and counts into a score, ready for JSON."""
    return {
        "format": SCORING_FORMAT,
        "popularity": model.popularity.detach().tolist(),
        "repeat": model.repeat.detach().tolist(),
        "following": model.following.detach().tolist(),
        "items": len(model),
        "correction": float(correction),
        "dimensions": model.architecture.dimensions,
    }


def estimate_correction(model: Recommender, timelines: Sequence[Timeline], limit: int = 20_000) -> float:
    """Return beta of the least squares u_after = u_before + beta * mean(v of the moment's events).

    Fitted on the latest target moments of the timelines, together at most `limit` events; profiles are left out, for
    they are the same before and after. Zero where there is nothing to fit.
    """
    queries = recent(target_queries(timelines), limit) if timelines else None
    if queries is None or not len(queries):
        return 0.0
    before = _vectors(model, _moved(queries, queries.start))
    after = _vectors(model, _moved(queries, queries.stop))
    query, item = queries.targets()
    mean = np.zeros_like(before)
    np.add.at(mean, query, item_vectors(model)[item])
    mean /= np.bincount(query, minlength=len(mean))[:, None]
    return float(((after - before) * mean).sum() / max(float((mean * mean).sum()), 1e-12))


def _vectors(model: Recommender, queries: Queries) -> np.ndarray:
    check_items(queries.histories, len(model))
    found = np.zeros((len(queries), model.architecture.dimensions), dtype=np.float32)
    for number, users in _user_batches(model.eval(), queries):
        found[number] = users
    return found


@torch.inference_mode()
def _user_batches(model: Recommender, queries: Queries) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    items = model.item_vectors()
    for batch in Batches(queries, model.architecture, model.clock).in_order(CHUNKS):
        yield batch.number, model.user_vectors(batch.to(model.device), items).cpu().numpy()


def _moved(queries: Queries, position: np.ndarray) -> Queries:
    """Ask at other positions of the same timelines, with unknown profiles and nothing to be found."""
    unknown = np.full_like(queries.profile, np.nan)
    return Queries(queries.histories, queries.user, position, position, queries.time, unknown)
