"""What of a language model is trained, and how it travels: as safetensors bytes, named by their hash.

Five kinds behind one contract: nothing at all, everything, LoRA (Hu et al. 2022), AdaLoRA (Zhang et al. 2023), which
moves rank to where the loss needs it, and bottlenecks (Houlsby et al. 2019; one after each block, as Pfeiffer et al.
2021 place it). All of them begin as the model that they are put into, change it in place and leave its other weights
alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors
from torch import Tensor, nn

from models.checkpoint import weights_hash
from models.errors import UnknownUpdate, WrongFormat, WrongShape
from models.language.model import blocks
from models.language.settings import KINDS, LanguageSettings

FORMAT = 1
# One key: safetensors keeps several in no particular order, and the bytes would differ from run to run.
MANIFEST = "tidegate.language"
HEAD = "head."  # begins the names of what stands on the model
PEFT = "default"  # peft names adapters; there is one
ORTHOGONALITY = 0.5  # weight of AdaLoRA's penalty, as in the paper
# Of the steps: AdaLoRA keeps its full rank in the first ones and its final one in the last ones.
RISE, SETTLE = 0.1, 0.3


@dataclass(frozen=True)
class Shape:
    """Say what has to be built before an adapter's tensors fit in."""

    kind: str
    rank: int
    alpha: float
    width: int
    targets: tuple[str, ...]


class Adapter:
    """What is trained of a model: here nothing, and the subclasses say more."""

    def __init__(self, body: nn.Module) -> None:
        self.body = body

    def trained(self) -> dict[str, nn.Parameter]:
        """Return the parameters that are trained, by name."""
        return {name: p for name, p in self.body.named_parameters() if p.requires_grad}

    def penalty(self) -> Tensor | float:
        """Return what is added to the loss."""
        return 0.0

    def stepped(self, step: int) -> None:
        """Hear that step number `step` was taken, while its gradients are still there."""

    def merge(self) -> nn.Module:
        """Return the model with the adapter in its weights, or beside them where it cannot be merged."""
        return self.body


class Full(Adapter):
    """Train everything but the pooling layer, which nobody here reads."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__(body)
        for name, parameter in body.named_parameters():
            parameter.requires_grad_(not name.startswith("pooler."))


class Lora(Adapter):
    """Train a product of two thin matrices beside each linear layer."""

    def __init__(self, body: nn.Module, shape: Shape, dropout: float) -> None:
        from peft import LoraConfig
        from peft.tuners.lora import LoraModel

        super().__init__(body)
        config = LoraConfig(r=shape.rank, **_described(body, shape, dropout))
        self.tuner: Any = LoraModel(body, {PEFT: config}, PEFT)

    def merge(self) -> nn.Module:
        """Add the products to the weights."""
        return self.tuner.merge_and_unload()


class AdaLora(Adapter):
    """Train a singular value decomposition, and zero the singular values that the loss needs least.

    It begins with twice the rank. The masked directions stay in the bytes as zeros, so that a successor may revive
    them.
    """

    def __init__(self, body: nn.Module, shape: Shape, dropout: float, steps: int) -> None:
        from peft import AdaLoraConfig
        from peft.tuners.adalora import AdaLoraModel

        super().__init__(body)
        rise, settle = int(RISE * steps), max(1, int(SETTLE * steps))
        config = AdaLoraConfig(
            init_r=2 * shape.rank,
            target_r=shape.rank,
            total_step=max(steps, rise + settle + 1),
            tinit=rise,
            tfinal=settle,
            orth_reg_weight=ORTHOGONALITY,
            **_described(body, shape, dropout),
        )
        self.tuner: Any = AdaLoraModel(body, {PEFT: config}, PEFT)

    def penalty(self) -> Tensor:
        """Return how far the singular vectors are from orthogonal ones, on average over the matrices."""
        found = []
        for name, p in self.trained().items():
            if "lora_A" in name or "lora_B" in name:
                product = p @ p.T if "lora_A" in name else p.T @ p
                found.append((product - torch.eye(len(product), device=p.device)).norm())
        return ORTHOGONALITY * torch.stack(found).mean()

    def stepped(self, step: int) -> None:
        """Move rank to where the gradients ask for it."""
        self.tuner.update_and_allocate(step)

    def merge(self) -> nn.Module:
        """Add the products to the weights."""
        return self.tuner.merge_and_unload()


class Bottleneck(nn.Module):
    """Map states down to `width` and up again, beside the way that they go anyhow."""

    def __init__(self, dimensions: int, width: int, dropout: float) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(dimensions, width), nn.Linear(width, dimensions)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.down.weight, std=0.02)
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, states: Tensor) -> Tensor:
        """Map states (n, T, E) to states (n, T, E)."""
        return states + self.up(nn.functional.gelu(self.down(self.dropout(states)))).to(states.dtype)


class Bottlenecks(Adapter):
    """Train a bottleneck after each block."""

    def __init__(self, body: Any, shape: Shape, dropout: float) -> None:
        super().__init__(body)
        body.requires_grad_(False)
        for block in blocks(body):
            first = next(block.parameters())
            block.bottleneck = Bottleneck(body.config.hidden_size, shape.width, dropout).to(first.device)
            block.register_forward_hook(_through)


def _through(block: Any, _: object, output: Any) -> Any:
    """Send what a block puts out, states or a tuple of states and more, through its bottleneck."""
    if isinstance(output, tuple):
        return (block.bottleneck(output[0]), *output[1:])
    return block.bottleneck(output)


def attach(body: nn.Module, settings: LanguageSettings, steps: int) -> Adapter:
    """Put a new adapter into a model, in place, for so many steps of training. Raises UnknownUpdate.

    Whatever is drawn comes from torch's generator.
    """
    shape = Shape(settings.kind, settings.rank, settings.alpha, settings.width, tuple(settings.targets))
    return _attach(body, shape, settings.dropout, steps)


def _attach(body: nn.Module, shape: Shape, dropout: float, steps: int) -> Adapter:
    body.requires_grad_(False)
    if shape.kind == "frozen":
        return Adapter(body)
    if shape.kind == "full":
        return Full(body)
    if shape.kind == "lora":
        return Lora(body, shape, dropout)
    if shape.kind == "adalora":
        return AdaLora(body, shape, dropout, steps)
    if shape.kind == "bottleneck":
        return Bottlenecks(body, shape, dropout)
    raise UnknownUpdate(f"no kind of update {shape.kind!r}; there are {', '.join(KINDS)}")


def linear_layers(body: nn.Module, ends: tuple[str, ...] = ()) -> list[str]:
    """Return the names of the linear layers of all blocks, or of those that end so. Raises UnknownUpdate.

    Only blocks: a pooling layer is never read, and the embeddings are not for an adapter.
    """
    inside = {id(module) for module in blocks(body).modules()}
    named = [
        name
        for name, module in body.named_modules()
        if id(module) in inside and (isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D")
    ]
    found = [name for name in named if not ends or name.endswith(ends)]
    if not found:
        known = ", ".join(sorted({name.rpartition(".")[2] for name in named}))
        raise UnknownUpdate(f"no linear layer ends in {', '.join(ends)}; there are {known}")
    return found


def _described(body: nn.Module, shape: Shape, dropout: float) -> dict[str, Any]:
    """Return what LoRA and AdaLoRA are both told."""
    return {
        "lora_alpha": shape.alpha,
        "lora_dropout": dropout,
        "target_modules": linear_layers(body, shape.targets),
        # GPT-2 keeps its matrices the other way round.
        "fan_in_fan_out": any(type(module).__name__ == "Conv1D" for module in blocks(body).modules()),
    }


def dump(
    adapter: Adapter,
    settings: LanguageSettings,
    checkpoint: str,
    parent: str | None = None,
    head: Mapping[str, Tensor] | None = None,
) -> bytes:
    """Return an adapter as safetensors bytes, with what stands on the model if `head` is given.

    Equal adapters give equal bytes.
    """
    manifest = {
        "format": FORMAT,
        "checkpoint": checkpoint,
        "kind": settings.kind,
        "rank": settings.rank,
        "alpha": settings.alpha,
        "width": settings.width,
        "targets": list(settings.targets),
        "parent": parent,
    }
    held = {**adapter.trained(), **{HEAD + name: t for name, t in (head or {}).items()}}
    tensors = {name: p.detach().cpu().contiguous().clone() for name, p in held.items()}
    return write_tensors(tensors, metadata={MANIFEST: json.dumps(manifest, sort_keys=True)})


def manifest(data: bytes) -> dict[str, Any]:
    """Return what an adapter's bytes say of it. Raises WrongFormat."""
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        found = json.loads(header["__metadata__"][MANIFEST])
    except (KeyError, TypeError, ValueError) as error:
        raise WrongFormat("these bytes are no adapter of a language model; give what an update returned") from error
    if found["format"] != FORMAT:
        raise WrongFormat(f"adapter format {found['format']}, this version reads {FORMAT}; use the other version")
    return found


def name(data: bytes) -> str:
    """Return what an adapter is called: its kind and the beginning of its hash."""
    return f"{manifest(data)['kind']}@{weights_hash(data)[:12]}"


def fill(adapter: Adapter, tensors: Mapping[str, Tensor]) -> None:
    """Put an adapter's tensors in place. Raises WrongShape where they are others than the adapter has."""
    own = adapter.trained()
    strange = set(own) ^ set(tensors) or {n for n, p in own.items() if p.shape != tensors[n].shape}
    if strange:
        raise WrongShape(f"the adapter does not fit: {', '.join(sorted(strange)[:3])}; it is of another model or rank")
    with torch.no_grad():
        for key, parameter in own.items():
            parameter.copy_(tensors[key])


def tensors_of(data: bytes) -> dict[str, Tensor]:
    """Return the tensors of an adapter, without a head's. Raises WrongFormat."""
    return {name: tensor for name, tensor in _all(data).items() if not name.startswith(HEAD)}


def head_of(data: bytes) -> dict[str, Tensor]:
    """Return the tensors of what stands on the model. Raises WrongFormat."""
    return {name.removeprefix(HEAD): tensor for name, tensor in _all(data).items() if name.startswith(HEAD)}


def _all(data: bytes) -> dict[str, Tensor]:
    try:
        return read_tensors(data)
    except SafetensorError as error:
        raise WrongFormat(f"these bytes are no safetensors: {error}; read them again") from error


def check(data: bytes, checkpoint: str) -> dict[str, Any]:
    """Return the manifest; raise WrongShape where the adapter was trained on another checkpoint."""
    found = manifest(data)
    if found["checkpoint"] != checkpoint:
        raise WrongShape(f"the adapter is one of {found['checkpoint']}, this is {checkpoint}; use its own checkpoint")
    return found


def merged(body: nn.Module, data: bytes, checkpoint: str) -> nn.Module:
    """Return a model with an adapter from bytes, ready to be read from. Raises WrongFormat, WrongShape."""
    found = check(data, checkpoint)
    shape = Shape(found["kind"], found["rank"], found["alpha"], found["width"], tuple(found["targets"]))
    with torch.random.fork_rng(devices=[]):  # what is drawn is overwritten at once
        adapter = _attach(body, shape, 0.0, steps=1)
        fill(adapter, tensors_of(data))
    return adapter.merge().eval().requires_grad_(False)


def matrices(parameters: Mapping[str, nn.Parameter]) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield what weight decay is for: matrices, not biases and norms."""
    yield from ((key, p) for key, p in parameters.items() if p.ndim > 1)
