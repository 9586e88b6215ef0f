"""The causal tower: a timeline becomes a vector that points at what comes next.

A transformer over items in time order (Kang and McAuley 2018, "SASRec"), with the kind of each event and the time since
the one before it (Li et al. 2020, "TiSASRec"). Two things differ from the textbook:

- Attention is a band: each block looks at the last `reach` events only, so that a vector depends on exactly the last
  `context` events. One pass over a long timeline then gives every moment the very vector that serving would compute
  from its last hundred events, and training, evaluation and serving cannot drift apart.
- Positions are distances (Press et al. 2022, "ALiBi", but learned), for the same reason.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from models.timelines import EVENT_TYPES

# Bucket b >= 1 holds gaps of [2^(b-1), 2^b) seconds, 0 the same moment; 2^31 seconds are 68 years.
GAP_BUCKETS = 33
NO_GAP = GAP_BUCKETS  # the first event of a timeline has none before it


@dataclass(frozen=True)
class Architecture:
    """Describe a recommender; a checkpoint carries it, and weights fit only their own."""

    text_dimensions: int  # E of the frozen embeddings
    whitened_dimensions: int = 128  # k; more than d, so that the projection has something to choose from
    dimensions: int = 64  # d of item and user vectors
    blocks: int = 1  # a second doubles the time and has not paid for itself yet
    heads: int = 2
    length: int = 100  # events that a user vector may depend on
    dropout: float = 0.2

    @property
    def reach(self) -> int:
        """Return how many events a block attends to, itself included."""
        return (self.length - 2) // self.blocks + 1

    @property
    def context(self) -> int:
        """Return how many events a user vector depends on; one less than `length`, which gives the oldest its gap."""
        return self.blocks * (self.reach - 1) + 1


def gap_buckets(times: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Return the bucket (E,) int8 of the time since the user's event before; users own bounds[u]:bounds[u + 1]."""
    gaps = np.diff(times, prepend=times[:1])
    np.maximum(gaps, 0.5, out=gaps)  # in place: there is one for each event of all histories
    np.floor(np.log2(gaps, out=gaps), out=gaps)
    buckets = np.clip(gaps + 1, 0, GAP_BUCKETS - 1, out=gaps).astype(np.int8)
    buckets[bounds[:-1][np.diff(bounds) > 0]] = NO_GAP
    return buckets


class Block(nn.Module):
    """Let each event attend to the last `reach` events, then transform it."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        d = architecture.dimensions
        self.heads, self.reach = architecture.heads, architecture.reach
        self.attention_norm = nn.LayerNorm(d)
        self.query = nn.Linear(d, d)
        self.key_value = nn.Linear(d, 2 * d)
        self.distance = nn.Parameter(torch.zeros(self.heads, self.reach))
        self.mix = nn.Linear(d, d)
        self.transform_norm = nn.LayerNorm(d)
        self.transform = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))
        self.dropout = nn.Dropout(architecture.dropout)

    def forward(self, x: Tensor, asked: Tensor | None = None) -> Tensor:
        """Map (B, T, d) to (B, T, d), or to (B, A, d) where `asked` (B, A) says which of the T events are wanted."""
        normed = self.attention_norm(x)
        wanted = x if asked is None else _picked(x, asked)
        x = wanted + self.dropout(self.mix(self.attend(normed, asked)))
        return x + self.dropout(self.transform(self.transform_norm(x)))

    def attend(self, x: Tensor, asked: Tensor | None) -> Tensor:
        """Map (B, T, d) to (B, A, d).

        Written out, because fused kernels do not promise the same sum twice on a GPU.
        """
        query = self.split(self.query(x if asked is None else _picked(x, asked)))  # (B, heads, A, d / heads)
        key, value = (self.split(part) for part in self.key_value(x).chunk(2, dim=-1))  # (B, heads, T, d / heads)
        band = self.band(x.shape[1])
        band = band if asked is None else band[:, asked].transpose(0, 1)  # (B, heads, A, T)
        weights = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5 + band
        return (weights.softmax(dim=-1).to(value.dtype) @ value).transpose(1, 2).flatten(2)

    def split(self, x: Tensor) -> Tensor:
        """Map (B, T, d) to (B, heads, T, d / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def band(self, length: int) -> Tensor:
        """Return what is added to the attention logits, (heads, T, T): a bias a distance, -inf outside the band."""
        steps = torch.arange(length, device=self.distance.device)
        distance = steps[:, None] - steps[None, :]
        outside = (distance < 0) | (distance >= self.reach)
        return self.distance[:, distance.clamp(0, self.reach - 1)].masked_fill(outside, float("-inf"))


class Encoder(nn.Module):
    """Read events in time order and return the state after each of them."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        d = architecture.dimensions
        self.types = nn.Embedding(len(EVENT_TYPES), d)
        self.gaps = nn.Embedding(GAP_BUCKETS + 1, d)
        self.dropout = nn.Dropout(architecture.dropout)
        self.blocks = nn.ModuleList(Block(architecture) for _ in range(architecture.blocks))
        self.norm = nn.LayerNorm(d)
        for embedding in (self.types, self.gaps):
            nn.init.normal_(embedding.weight, std=0.02)
        # A state starts with length one, so that the first scores are small beside popularity; it may grow.
        nn.init.constant_(self.norm.weight, d**-0.5)

    def forward(self, items: Tensor, types: Tensor, gaps: Tensor, asked: Tensor) -> Tensor:
        """Map item vectors (B, T, d), types (B, T) and gap buckets (B, T) to states (B, A, d) after `asked` (B, A).

        The last block works for the asked events alone, which is most of the saving in a model of two blocks.
        """
        x = self.dropout(items + self.types(types) + self.gaps(gaps))
        for block in self.blocks[:-1]:
            x = block(x)
        return self.norm(self.blocks[-1](x, asked))


def _picked(x: Tensor, asked: Tensor) -> Tensor:
    """Pick events `asked` (B, A) out of x (B, T, d); return (B, A, d)."""
    return x.gather(1, asked[..., None].expand(-1, -1, x.shape[-1]))
