"""What a head reads of a user with an item at a moment.

Numbers stand before vectors: the recommender's own opinion, popularity, repetition, what follows the latest events, the
user's profile, and what Feast says of the pair. A number's logarithm is standardised by the first rows in which it
varies; what is unknown counts as average, and of the pair's features it is said that they are unknown.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.answers import Answer
from models.head import term_features
from models.repeat import REPEAT_FEATURES
from models.timelines import PROFILE

# Features of Feast's service ranker@v1 that are the same in training as when they are served. Its affinity is that of
# the version that was live at the moment, and a head reads the vectors of the recommender that it stands on; its
# popularity is that of an item's latest day in the past and of now online, and a recommender's clock has it exactly.
PAIR = ("pair_age_days", "price_to_mean_spend", "pair_events", "pair_decayed_week")
POPULAR = ("popular_day", "popular_week", "popular_month")
FOLLOWS = ("follows", "again_follows")  # the second where the user touched the item before
NUMBERS = (
    "retrieval",
    "affinity",
    *POPULAR,
    *(f"again_{name}" for name in REPEAT_FEATURES),
    *FOLLOWS,
    *(f"user_{name}" for name in PROFILE),
    *PAIR,
    *(f"{name}_known" for name in PAIR),
)
TERMS = len(POPULAR) + len(REPEAT_FEATURES) + len(FOLLOWS)
LOGGED = slice(2 + TERMS, 2 + TERMS + len(PROFILE) + len(PAIR))  # what comes raw; the rest is of a kind already
PAIRS = slice(LOGGED.stop - len(PAIR), LOGGED.stop)
KNOWN = slice(LOGGED.stop, LOGGED.stop + len(PAIR))


@dataclass(frozen=True)
class Inputs:
    """Hold what is read of P pairs; what is unknown among the numbers is NaN."""

    numbers: Tensor  # (P, len(NUMBERS)) float32
    user: Tensor  # (P, d) float32
    item: Tensor  # (P, d) float32

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, chosen: Tensor | slice) -> "Inputs":
        """Keep the chosen pairs."""
        return Inputs(self.numbers[chosen], self.user[chosen], self.item[chosen])

    @property
    def retrieval(self) -> Tensor:
        """Return ln(N p) (P,), where p is the recommender's own probability of the item."""
        return self.numbers[:, 0]

    def with_pairs(self, values: np.ndarray) -> "Inputs":
        """Return the inputs with what Feast says of the pairs: PAIR (P, 4), NaN = unknown."""
        found = self.numbers.clone()
        found[:, PAIRS] = logged(torch.from_numpy(np.asarray(values, dtype=np.float32)))
        found[:, KNOWN] = torch.isfinite(found[:, PAIRS]).float()
        return Inputs(found, self.user, self.item)


def logged(raw: Tensor) -> Tensor:
    """Return logarithms of what is never negative; an infinity is as good as unknown."""
    return torch.where(torch.isfinite(raw), torch.log1p(raw.clamp_min(0.0)), torch.nan)


def inputs(answer: Answer, scale: Tensor, query: Tensor, item: Tensor) -> Inputs:
    """Return what is read of pairs of query (P,) and item (P,); `scale` (Q,) is each query's ln(sum of e^score / N)."""
    user, vector = answer.users[query].float(), answer.items[item].float()
    unknown = torch.full((len(query), len(PAIR)), torch.nan, device=query.device)
    numbers = [
        (answer.scores[query, item] - scale[query])[:, None],
        (user * vector).sum(dim=1, keepdim=True),
        term_features(answer, query, item),
        logged(answer.batch.profile[query]),
        unknown,
        torch.zeros_like(unknown),
    ]
    return Inputs(torch.cat(numbers, dim=1).float().cpu(), user.cpu(), vector.cpu())


def joined(parts: list[Inputs]) -> Inputs:
    """Lay inputs end to end."""
    return Inputs(*(torch.cat([getattr(part, name) for part in parts]) for name in ("numbers", "user", "item")))
