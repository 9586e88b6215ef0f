"""A causal transformer over item ids, as in the textbook (Kang and McAuley 2018, "SASRec").

Pre-norm blocks, learned positions, items tied between input and output, and the time since the event before as an
embedding. It shares nothing with models/encoder.py on purpose: what is compared with it must not move it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from models.encoder import GAP_BUCKETS

SCALE = 0.02  # deviation of first weights


@dataclass(frozen=True)
class Shape:
    """Describe the network."""

    dimensions: int = 64  # d
    blocks: int = 2
    heads: int = 2
    length: int = 100  # T, events that a state may depend on
    dropout: float = 0.2


class Attention(nn.Module):
    """Let each event look at itself and those before it."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.inputs = nn.Linear(shape.dimensions, 3 * shape.dimensions)
        self.output = nn.Linear(shape.dimensions, shape.dimensions)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, d) to (B, T, d)."""
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.inputs(x).chunk(3, dim=-1)
        )  # (B, heads, T, d / heads)
        return self.output(scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Look back, then transform."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d = shape.dimensions
        self.attend = nn.Sequential(nn.LayerNorm(d), Attention(shape), nn.Dropout(shape.dropout))
        self.transform = nn.Sequential(
            nn.LayerNorm(d), nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d), nn.Dropout(shape.dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, d) to (B, T, d)."""
        x = x + self.attend(x)
        return x + self.transform(x)


class Network(nn.Module):
    """Read item ids and gaps, and return the state after each event; items are scored by their dot product with it."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d = shape.dimensions
        self.items = nn.Parameter(torch.zeros(0, d))
        self.positions = nn.Embedding(shape.length, d)
        self.gaps = nn.Embedding(GAP_BUCKETS + 1, d)
        self.start = nn.Parameter(torch.zeros(d))  # the state of a user without history
        self.dropout = nn.Dropout(shape.dropout)
        self.blocks = nn.Sequential(*(Block(shape) for _ in range(shape.blocks)))
        self.norm = nn.LayerNorm(d)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=SCALE)

    def grow(self, size: int) -> None:
        """Append items until there are `size`, each with a first vector of its own; old ones do not change."""
        added = SCALE * torch.randn(size - len(self.items), self.items.shape[1])
        self.items = nn.Parameter(torch.cat([self.items.detach(), added]))

    def forward(self, items: Tensor, gaps: Tensor) -> Tensor:
        """Map items (B, T) and gap buckets (B, T) to states (B, T, d); an item beyond the known ones has no vector."""
        places = torch.arange(items.shape[1], device=items.device)
        known = items < len(self.items)
        # An embedding lookup and not indexing: its gradient adds up in one order.
        vectors = nn.functional.embedding(items * known, self.items) * known[..., None]
        return self.norm(self.blocks(self.dropout(vectors + self.positions(places) + self.gaps(gaps))))
