"""A language model made smaller for serving: int8 products, fewer neurons, fewer heads.

Nothing is trained and no text is needed for it, so that an encoder's identity can say all that it depends on. What it
costs in quality is for benchmarks/language.py to say; a pruned model wants an update (LoRA) before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.errors import UnknownUpdate
from models.language.model import blocks

# What goes into the neurons of a block, and what comes out of them; the first that a block has.
NEURONS = (
    (("intermediate.dense",), "output.dense"),  # BERT, RoBERTa
    (("mlp.gate_proj", "mlp.up_proj"), "mlp.down_proj"),  # Llama, Qwen, SmolLM
    (("mlp.c_fc",), "mlp.c_proj"),  # GPT-2
)
LARGEST = 127


@dataclass(frozen=True)
class Compression:
    """Say how a model is made smaller."""

    int8: bool = False  # products of integers, on a CPU
    bf16: bool = False  # all weights and states; pays where the processor multiplies bf16
    neurons: float = 0.0  # share of each block's neurons that is taken out
    heads: float = 0.0  # share of each block's attention heads that is taken out; BERT only

    @property
    def name(self) -> str:
        """Return what an encoder's identity says of it."""
        shares = [f"{name}{share:g}" for name, share in (("neurons-", self.neurons), ("heads-", self.heads)) if share]
        return "+".join([*shares, *(["int8"] if self.int8 else []), *(["bf16"] if self.bf16 else [])])


def compressed(body: Any, how: Compression) -> Any:
    """Make a model smaller, in place; return it. Raises UnknownUpdate where its blocks are not built as expected."""
    for block in blocks(body):
        if how.neurons:
            prune_neurons(block, how.neurons)
        if how.heads:
            prune_heads(block, how.heads)
        if how.int8:
            quantise(block)
    return body.bfloat16() if how.bf16 else body


class Int8Linear(nn.Module):
    """Multiply integers: weights rounded once, an activation row by its own largest entry (Dettmers et al. 2022).

    Sums of integers are exact, so the number of threads changes nothing.
    """

    weight: Tensor  # (in, out) int8
    scale: Tensor  # (out,)
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        scale = weight.abs().amax(dim=1).clamp_min(1e-8) / LARGEST  # of each output (out, in)
        self.register_buffer("weight", (weight / scale[:, None]).round().to(torch.int8).T.contiguous())
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        rows = x.reshape(-1, x.shape[-1])
        size = rows.abs().amax(dim=1, keepdim=True).clamp_min(1e-8) / LARGEST
        # The only product of int8 matrices that torch has; it is private by name and documented nowhere else.
        sums = torch._int_mm((rows / size).round().to(torch.int8), self.weight)  # noqa: SLF001
        out = sums.to(x.dtype) * size * self.scale
        return (out if self.bias is None else out + self.bias).reshape(*x.shape[:-1], -1)


def quantise(block: nn.Module) -> None:
    """Put Int8Linear in the place of each linear layer."""
    for name, layer in list(linears(block)):
        weight, bias = matrix(layer), layer.bias
        _set(block, name, Int8Linear(weight, bias))


def prune_neurons(block: nn.Module, share: float) -> None:
    """Take out the neurons that are weakest by the lengths of their ways in and out (after Li et al. 2017).

    Raises UnknownUpdate for a block without neurons that are known.
    """
    known = dict(linears(block))
    ways = [(ins, out) for ins, out in NEURONS if out in known and all(name in known for name in ins)]
    if not ways:
        raise UnknownUpdate(f"{type(block).__name__} keeps its neurons where they are not found; prune nothing of it")
    ins, out = ways[0]
    strength = matrix(known[out]).norm(dim=0)
    for name in ins:
        strength = strength * matrix(known[name]).norm(dim=1)
    kept = strongest(strength, share)
    for name in ins:
        _set(block, name, _linear(matrix(known[name])[kept], _part(known[name].bias, kept)))
    _set(block, out, _linear(matrix(known[out])[:, kept], known[out].bias))


def prune_heads(block: Any, share: float) -> None:
    """Take out the attention heads that are weakest by what they write (after Michel et al. 2019).

    Raises UnknownUpdate for a block that is no BERT's.
    """
    attention = getattr(getattr(block, "attention", None), "self", None)
    if attention is None or not hasattr(attention, "attention_head_size"):
        raise UnknownUpdate(f"heads are taken out of BERT's blocks, not of {type(block).__name__}; prune neurons")
    written = block.attention.output.dense
    size = attention.attention_head_size
    strength = (matrix(attention.value).norm(dim=1) * matrix(written).norm(dim=0)).reshape(-1, size).sum(dim=1)
    heads = strongest(strength, share)
    kept = (heads[:, None] * size + torch.arange(size)).flatten()
    for name in ("query", "key", "value"):
        layer = getattr(attention, name)
        setattr(attention, name, _linear(matrix(layer)[kept], _part(layer.bias, kept)))
    block.attention.output.dense = _linear(matrix(written)[:, kept], written.bias)
    attention.num_attention_heads, attention.all_head_size = len(heads), len(kept)


def strongest(strength: Tensor, share: float) -> Tensor:
    """Return which (k,) are kept when a share of them is taken out, in their old order; one is kept at least."""
    k = max(1, len(strength) - int(share * len(strength)))
    return torch.sort(torch.topk(strength, k).indices).values


def linears(block: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the linear layers of a block, GPT-2's among them."""
    for name, module in block.named_modules():
        if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D":
            yield name, module


def matrix(layer: Any) -> Tensor:
    """Return a linear layer's matrix (out, in); GPT-2 keeps it the other way round."""
    weight = layer.weight.detach()
    return weight if isinstance(layer, nn.Linear) else weight.T


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight = nn.Parameter(weight.contiguous().clone(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return layer


def _part(bias: Tensor | None, kept: Tensor) -> Tensor | None:
    return None if bias is None else bias[kept]


def _set(block: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(block.get_submodule(parent) if parent else block, last, layer)


def size_of(body: nn.Module, of: Callable[[Tensor], int] = lambda t: t.numel() * t.element_size()) -> int:
    """Return the bytes of a model's weights."""
    return sum(of(t) for t in [*body.parameters(), *body.buffers()])
