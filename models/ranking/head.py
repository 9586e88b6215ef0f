"""The head: a density for each task, and what a rating would be.

    f_k(u, i, t) = r + b_k + w_k . x + a_k . gelu(W x)          x = [numbers, user, item, user * item]

r is the recommender's own ln(N p), so a head that has learned nothing says what the recommender says: it learns where
that is wrong. Wide and deep (Cheng et al. 2016) with many tasks (Caruana 1997); without hidden units it is linear, and
a product of two vectors in it is a bilinear form with a diagonal.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from models.ranking.calibration import Calibration
from models.ranking.examples import TASKS
from models.ranking.features import KNOWN, NUMBERS, Inputs
from models.ranking.settings import RankingSettings

LEAST_SCALE = 1e-3  # a number that varies less says nothing but rounding errors
FURTHEST = 5.0  # deviations from the average; a first window that was alike makes later ones extreme
VALUE, SENTIMENT = len(TASKS), len(TASKS) + 1  # columns of the answers after those of the tasks
MANY = 65_536  # pairs that are answered at once


@dataclass(frozen=True)
class Shape:
    """Say what a head is made of; the same for all of its versions."""

    dimensions: int  # of a vector
    hidden: int = 0
    vectors: bool = True
    categories: int = 0

    @property
    def width(self) -> int:
        """Return how many numbers are read."""
        return len(NUMBERS) + 3 * self.dimensions * self.vectors

    @property
    def answers(self) -> int:
        """Return how many numbers are answered: tasks, the rating's value, its sentiment, and the categories."""
        return len(TASKS) + 2 + self.categories

    @classmethod
    def of(cls, settings: RankingSettings, dimensions: int, categories: int) -> "Shape":
        """Return the shape that settings ask for; categories are learned where they weigh something."""
        return cls(dimensions, settings.hidden, settings.vectors, categories if settings.category else 0)


class Head(nn.Module):
    """Answer for pairs of a user and an item at a moment."""

    mean: Tensor  # (len(NUMBERS),)
    scale: Tensor  # (len(NUMBERS),), zero: not fitted yet
    rating: Tensor  # (2,) mean and scale of rating values
    learned: Tensor  # (len(TASKS),) how many rows of each task were learned

    def __init__(self, shape: Shape, seed: int = 0) -> None:
        super().__init__()
        self.shape, self.increments = shape, 0
        self.calibrations = tuple(Calibration() for _ in TASKS)
        self.wide = nn.Parameter(torch.zeros(shape.answers, shape.width))
        self.bias = nn.Parameter(torch.zeros(shape.answers))
        self.deep = nn.Parameter(torch.zeros(shape.answers, shape.hidden))
        draw = torch.Generator().manual_seed(seed)
        self.trunk = nn.Parameter(torch.randn(shape.hidden, shape.width, generator=draw) * shape.width**-0.5)
        self.doubt = nn.Parameter(torch.zeros(len(TASKS)))  # ln(variance) of each task, for learned weights
        self.register_buffer("mean", torch.zeros(len(NUMBERS)))
        self.register_buffer("scale", torch.zeros(len(NUMBERS)))
        self.register_buffer("rating", torch.tensor([0.0, 1.0]))
        self.register_buffer("learned", torch.zeros(len(TASKS), dtype=torch.int64))

    def fit_numbers(self, numbers: Tensor) -> None:
        """Learn mean and scale of each number (P, F) from the first rows in which it varies; later ones change none."""
        masked = np.ma.masked_invalid(numbers.double().numpy())
        mean, scale = masked.mean(axis=0).filled(0.0), masked.std(axis=0).filled(0.0)
        mean[KNOWN], scale[KNOWN] = 0.0, 1.0
        new = (self.scale < LEAST_SCALE).numpy() & (scale >= LEAST_SCALE)
        self.mean[new] = torch.from_numpy(mean[new]).float()
        self.scale[new] = torch.from_numpy(scale[new]).float()

    def read(self, given: Inputs) -> Tensor:
        """Return x (P, width): numbers made comparable, then the vectors."""
        inverse = torch.where(self.scale >= LEAST_SCALE, 1.0 / self.scale, 0.0)
        numbers = torch.nan_to_num((given.numbers - self.mean) * inverse, nan=0.0, posinf=0.0, neginf=0.0)
        numbers = numbers.clamp(-FURTHEST, FURTHEST)
        if not self.shape.vectors:
            return numbers
        return torch.cat([numbers, given.user, given.item, given.user * given.item], dim=1)

    def answers(self, x: Tensor, retrieval: Tensor) -> Tensor:
        """Return f of the tasks and what else is answered (P, answers), given x (P, width) and r (P,)."""
        said = x @ self.wide.T + self.bias
        if self.shape.hidden:
            said = said + gelu(x @ self.trunk.T) @ self.deep.T
        return torch.cat([said[:, : len(TASKS)] + retrieval[:, None], said[:, len(TASKS) :]], dim=1)

    @torch.inference_mode()
    def densities(self, given: Inputs) -> np.ndarray:
        """Return f (P, len(TASKS)) as it was learned, not calibrated."""
        parts = [given[slice(i, i + MANY)] for i in range(0, len(given), MANY)]
        found = [self.answers(self.read(part), part.retrieval)[:, : len(TASKS)] for part in parts]
        return torch.cat([torch.zeros(0, len(TASKS)), *found]).numpy()

    def probabilities(self, given: Inputs, odds: float = 1.0) -> np.ndarray:
        """Return the calibrated probability (P, len(TASKS)) that each thing happens.

        `odds` are those before anything is known of the item: 1 where it is one of two of which one was taken. What
        is done with an item is a share of its being taken, so p(purchase) = p(taken) p(purchase | taken). A task that
        was never seen is not expected.
        """
        f = self.densities(given).astype(np.float64)
        mapped = np.column_stack([calibration(f[:, k]) for k, calibration in enumerate(self.calibrations)])
        taken = 1.0 / (1.0 + np.exp(-(mapped[:, :1] + np.log(odds))))
        return np.where(self.learned.numpy() > 0, taken * np.exp(np.minimum(mapped - mapped[:, :1], 0.0)), 0.0)

    @torch.inference_mode()
    def values(self, given: Inputs) -> np.ndarray:
        """Return what a rating (P,) would be."""
        mean, scale = self.rating.tolist()
        return (self.answers(self.read(given), given.retrieval)[:, VALUE] * scale + mean).numpy()
