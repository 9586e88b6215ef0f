"""A language model learns on: examples go in, an adapter as bytes comes out.

The same examples, settings, predecessor, seed and kind of device give the same bytes: every choice comes from the
seed, one thread adds up on a CPU, and a GPU is asked for its repeatable kernels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.checkpoint import weights_hash
from models.errors import TimelineError, UnknownUpdate, WrongShape
from models.language import adapters
from models.language.adapters import Adapter
from models.language.model import LanguageModel, blocks
from models.language.objectives import Contrast, Objective, Words, bucketed
from models.language.pairs import Pairs, Texts
from models.language.proximity import Proximity
from models.language.settings import OBJECTIVES, LanguageSettings
from models.training import repeatable

Heard = Callable[[int, int, float], None]  # step, steps, loss
Term = Callable[[], Tensor | float]


@dataclass(frozen=True)
class UpdateReport:
    """Tell what an update did; `losses` holds the mean of each epoch in nats, without penalties."""

    examples: int
    steps: int
    trained: int  # parameters
    losses: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class Update:
    """Hold an adapter as bytes, and how it came about."""

    adapter: bytes
    report: UpdateReport


def update(
    model: LanguageModel,
    texts: Sequence[str],
    examples: Pairs,
    settings: LanguageSettings | None = None,
    predecessor: bytes | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    heard: Heard | None = None,
) -> Update:
    """Train an adapter of `model` on examples over `texts`, from `predecessor` on where one is given.

    Without examples (a catalogue that nobody has used yet) only "pretrain" has something to learn. The model is used
    up: its weights hold the adapter afterwards. Raises UnknownUpdate for settings that do not exist, or for a frozen
    model; WrongShape where the predecessor is another model's or has another shape; TimelineError where there is
    nothing to learn.
    """
    settings, device = settings or LanguageSettings(), torch.device(device)
    if settings.kind == "frozen":
        raise UnknownUpdate("a frozen language model is not trained; choose lora, adalora, bottleneck or full")
    with repeatable(seed, device, settings.threads):
        model.to(device)
        objective = objective_of(model, texts, examples, settings)
        plan = planned(objective, settings, seed)
        adapter = prepared(model, settings, plan.steps, predecessor)
        term = near(adapter, settings, predecessor, device)
        report = descend(model, adapter, objective, plan, settings, term, heard)
    parent = None if predecessor is None else weights_hash(predecessor)
    return Update(adapters.dump(adapter, settings, model.identity, parent), report)


def objective_of(model: LanguageModel, texts: Sequence[str], examples: Pairs, settings: LanguageSettings) -> Objective:
    """Return the objective that the settings name. Raises UnknownUpdate, or TimelineError for one without examples."""
    known = Texts.of(model.notation, texts)
    chosen: Objective
    if settings.objective == "contrastive":
        kept = np.arange(len(examples))[-settings.most_examples :]
        chosen = Contrast(model, known, examples[kept], settings)
    elif settings.objective == "pretrain":
        chosen = Words(model, known, settings)
    else:
        raise UnknownUpdate(f"no objective {settings.objective!r}; there are {', '.join(OBJECTIVES)}")
    if not len(chosen.lengths):
        raise TimelineError(f"nothing to learn by {settings.objective}: no event has a history, or no item a text")
    return chosen


@dataclass(frozen=True)
class Plan:
    """Hold the batches of each epoch, and how many of them make a step."""

    epochs: tuple[tuple[np.ndarray, ...], ...]
    accumulate: int
    random: np.random.Generator

    @property
    def steps(self) -> int:
        """Return how many steps are taken."""
        return sum(-(-len(epoch) // self.accumulate) for epoch in self.epochs)


def planned(objective: Objective, settings: LanguageSettings, seed: int) -> Plan:
    """Return the batches of a whole update."""
    random = np.random.default_rng(seed)
    epochs = tuple(
        tuple(bucketed(objective.lengths, settings.batch, random, settings.bucketing)) for _ in range(settings.epochs)
    )
    return Plan(epochs, settings.accumulate, random)


def prepared(model: LanguageModel, settings: LanguageSettings, steps: int, predecessor: bytes | None) -> Adapter:
    """Return an adapter in the model, new or like its predecessor; what is trained is float32, whatever the rest is."""
    if settings.precision == "bf16" and settings.kind != "full":
        model.whole.to(torch.bfloat16)  # once, and not again in each forward pass
    adapter = adapters.attach(model.body, settings, steps)
    for parameter in adapter.trained().values():
        parameter.data = parameter.data.float()
    if predecessor is not None:
        _check_shape(adapters.check(predecessor, model.identity), settings)
        adapters.fill(adapter, adapters.tensors_of(predecessor))
    return adapter


def _check_shape(found: dict[str, Any], settings: LanguageSettings) -> None:
    for key in ("kind", "rank", "alpha", "width"):
        if found[key] != getattr(settings, key):
            raise WrongShape(
                f"the predecessor has {key} {found[key]}, the settings say {getattr(settings, key)}; "
                "an adapter keeps its shape, so begin without a predecessor"
            )


def near(adapter: Adapter, settings: LanguageSettings, predecessor: bytes | None, device: torch.device) -> Term:
    """Return what keeps the adapter near its predecessor; nothing where there is none."""
    if predecessor is None or not settings.proximity:
        return lambda: 0.0
    term = Proximity(adapters.tensors_of(predecessor), settings.proximity, device)
    return lambda: term(adapter.trained())


def descend(
    model: LanguageModel,
    adapter: Adapter,
    objective: Objective,
    plan: Plan,
    settings: LanguageSettings,
    term: Term = lambda: 0.0,
    heard: Heard | None = None,
) -> UpdateReport:
    """Take all steps of a plan."""
    began, steps, means = time.perf_counter(), 0, []
    trained = [*adapter.trained().values(), *(p.requires_grad_() for p in objective.parameters())]
    follow = optimiser(adapter, objective, settings, model.device)
    schedule = torch.optim.lr_scheduler.LambdaLR(follow, rates(settings, plan.steps))
    with training(model, settings):
        for epoch in plan.epochs:
            losses: list[float] = []
            for group in grouped(epoch, plan.accumulate):
                losses += _gradients(model, objective, group, plan.random, settings)
                _add(adapter.penalty() + term())
                torch.nn.utils.clip_grad_norm_(trained, settings.clip)
                follow.step()
                schedule.step()
                adapter.stepped(steps)
                follow.zero_grad(set_to_none=True)
                steps += 1
                if heard:
                    heard(steps, plan.steps, losses[-1])
            means.append(float(np.mean(losses)))
    size = sum(p.numel() for p in adapter.trained().values())
    return UpdateReport(len(objective.lengths), steps, size, tuple(means), time.perf_counter() - began)


def _gradients(
    model: LanguageModel,
    objective: Objective,
    group: Sequence[np.ndarray],
    random: np.random.Generator,
    settings: LanguageSettings,
) -> list[float]:
    """Add up the gradients of a step's batches, each weighted by its examples; return their losses."""
    losses, size = [], sum(map(len, group))
    for chosen in group:
        with precision(settings, model.device):
            loss = objective.loss(chosen, random)
        (loss * (len(chosen) / size)).backward()
        losses.append(float(loss.detach()))
    return losses


def _add(penalty: Tensor | float) -> None:
    if isinstance(penalty, Tensor):
        penalty.backward()


def grouped(batches: Sequence[np.ndarray], size: int) -> Iterator[Sequence[np.ndarray]]:
    """Yield the batches of each step."""
    yield from (batches[i : i + size] for i in range(0, len(batches), size))


def optimiser(
    adapter: Adapter, objective: Objective, settings: LanguageSettings, device: torch.device
) -> torch.optim.Optimizer:
    """Return AdamW that decays matrices and nothing else."""
    own = adapter.trained()
    decayed = [p for _, p in adapters.matrices(own)] + [p for p in objective.parameters() if p.ndim > 1]
    others = [p for p in own.values() if p.ndim <= 1] + [p for p in objective.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    fused = device.type == "cuda" if settings.fused is None else settings.fused
    return torch.optim.AdamW(groups, lr=settings.rate, fused=fused, foreach=None if fused else True)


def rates(settings: LanguageSettings, steps: int) -> Callable[[int], float]:
    """Return the share of the rate at each step: it rises, then falls to zero."""
    rise = max(1.0, settings.warmup * steps)
    return lambda step: min((step + 1) / rise, (steps - step) / max(1.0, steps - rise))


@contextmanager
def training(model: LanguageModel, settings: LanguageSettings) -> Iterator[None]:
    """Make the model ready to be trained, and to be read from again afterwards."""
    model.whole.train()
    if settings.checkpointing:
        model.whole.gradient_checkpointing_enable({"use_reentrant": False})
    if settings.compile:
        for block in blocks(model.body):
            block.compile(dynamic=True)
    try:
        yield
    finally:
        if settings.checkpointing:
            model.whole.gradient_checkpointing_disable()
        model.whole.eval()


def precision(settings: LanguageSettings, device: torch.device) -> torch.autocast:
    """Return what computes in the asked precision. Raises UnknownUpdate."""
    if settings.precision not in ("fp32", "bf16"):
        raise UnknownUpdate(f"no precision {settings.precision!r}; there are fp32, bf16")
    return torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16")


def like(settings: LanguageSettings, data: bytes) -> LanguageSettings:
    """Return the settings with the shape that an adapter has."""
    found = adapters.manifest(data)
    shape = {key: found[key] for key in ("kind", "rank", "alpha", "width")}
    return replace(settings, **shape, targets=tuple(found["targets"]))


def trainable(module: nn.Module) -> int:
    """Return how many of a module's numbers are trained."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
