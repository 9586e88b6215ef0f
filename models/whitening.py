"""Make frozen text embeddings round.

A language model crowds its sentences into a narrow cone: every item resembles every other, and a projection learned
on top spends its time undoing that. PCA whitening (Su et al. 2021, "Whitening Sentence Representations"; Hou et al.
2022, "UniSRec") gives each direction the same variance and drops the weak ones. It is fitted once, on the first
catalogue that has any text, so that an old item's vector never moves because a new item arrived.

One thread adds up, whatever the machine has: more of them add in another order, and the first version would have other
bytes on a machine with another number of cores. (numpy's BLAS knows no such promise, so torch does the sums.)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

# Directions weaker than this share of the strongest are rounding noise, and whitening would make them loud.
WEAKEST = 1e-6


@dataclass(frozen=True)
class Whitening:
    """Hold the centre (E,) and the basis (E, k); a basis of zeros says: not fitted yet."""

    centre: np.ndarray
    basis: np.ndarray

    @property
    def fitted(self) -> bool:
        """Tell whether any catalogue with text has been seen."""
        return bool(np.any(self.basis))

    def apply(self, text: np.ndarray) -> np.ndarray:
        """Whiten `text` (N, E) into rows (N, k) of length one; an item without text stays zero.

        Length one, because an outlier's whitened embedding can be many times longer than the others.
        """
        round_text = _product(text.astype(np.float64) - self.centre, self.basis)
        length = np.linalg.norm(round_text, axis=1, keepdims=True)
        known = has_text(text)[:, None] & (length > 0)
        return np.where(known, round_text / np.where(length > 0, length, 1.0), 0.0).astype(np.float32)


def has_text(text: np.ndarray) -> np.ndarray:
    """Tell (N,) which rows of `text` (N, E) belong to items with a text."""
    return np.any(text != 0, axis=1)


def fit_whitening(text: np.ndarray, dimensions: int) -> Whitening:
    """Fit PCA whitening to the rows of `text` (N, E) that have a text, keeping `dimensions` = k directions.

    Fewer items than directions, or fewer embedding dimensions: the directions that are missing are columns of zeros.
    """
    rows = text[has_text(text)].astype(np.float64)
    basis = np.zeros((text.shape[1], dimensions))
    if len(rows) < 2:
        return Whitening(np.zeros(text.shape[1]), basis)
    centre = rows.mean(axis=0)
    variances, directions = _principal(rows - centre)
    kept = np.flatnonzero(variances > WEAKEST * variances[0])[:dimensions]
    basis[:, : len(kept)] = directions[:, kept] / np.sqrt(variances[kept])
    return Whitening(centre, basis)


def _principal(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return variances (E,), largest first, and their directions (E, E), each with a fixed sign."""
    with one_thread():
        found = torch.linalg.eigh(torch.from_numpy(_product(rows.T, rows) / len(rows)))
    variances, directions = found.eigenvalues.numpy()[::-1], found.eigenvectors.numpy()[:, ::-1]
    strongest = np.argmax(np.abs(directions), axis=0)
    return np.maximum(variances, 0.0), directions * np.sign(directions[strongest, np.arange(len(variances))])


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return left (a, b) @ right (b, c), added up by one thread."""
    with one_thread():
        return (torch.from_numpy(left) @ torch.from_numpy(right)).numpy()


@contextmanager
def one_thread() -> Iterator[None]:
    """Have one thread add up what is inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
