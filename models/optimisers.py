"""How a step follows the gradient.

AdamW is the default (Loshchilov and Hutter 2019). AdaGrad remembers one number a row for the ids, as production
recommenders do: an id that is rarely seen keeps a large step, and the memory is a d-th (Duchi et al. 2011; Gupta et
al. 2014; DLRM, Naumov et al. 2019). Nothing is remembered from one increment to the next: an optimiser's state is not
part of a version, and what a run depends on should be.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

from models.errors import UnknownChoice
from models.parallel import add_up, total
from models.recommender import Recommender
from models.settings import FitSettings

TERMS = ("popularity", "repeat", "following")
ROWS = "residual"  # the weights of which AdaGrad remembers one number a row
SOLVED = "sdca"  # see models.head: no steps, but a convex problem that is solved


class AdaGrad(Optimizer):
    """Divide by the root of all squared gradients so far; by that of their mean over a row in groups with `rows`."""

    def __init__(self, params: Iterable[Any], eps: float = 1e-8) -> None:
        super().__init__(params, {"lr": 1e-2, "eps": eps, "weight_decay": 0.0, "rows": False})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take a step."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)

    def _move(self, parameter: Tensor, group: dict[str, Any]) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        square = gradient.square().mean(dim=1, keepdim=True) if group["rows"] else gradient.square()
        total = state.setdefault("sum", torch.zeros_like(square)).add_(square)
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.addcdiv_(gradient, total.sqrt().add_(group["eps"]), value=-group["lr"])


def optimiser_for(model: Recommender, settings: FitSettings, rate: float) -> Optimizer:
    """Return the optimiser that the settings name. Raises UnknownChoice."""
    fused = model.device.type == "cuda"
    several = {"fused": True} if fused else {"foreach": True}
    made: dict[str, Callable[[list[dict]], Optimizer]] = {
        "adamw": lambda g: torch.optim.AdamW(g, **several),  # type: ignore[arg-type]
        "adam": lambda g: torch.optim.Adam(g, **several),  # type: ignore[arg-type]
        "sgd": lambda g: torch.optim.SGD(g, momentum=settings.momentum, nesterov=settings.momentum > 0),
        "adagrad": AdaGrad,
    }
    made[SOLVED] = made["adamw"]  # of a first version: a head needs a tower to stand on
    if settings.optimiser not in made:
        raise UnknownChoice.of("optimiser", settings.optimiser, made)
    return made[settings.optimiser](groups(model, settings, rate))


class Optimiser:
    """Follow gradients with a rate that rises and falls; clip them and average the weights if asked for."""

    def __init__(self, model: Recommender, settings: FitSettings, steps: int) -> None:
        rate = settings.first_rate if model.increments == 0 else settings.rate
        self.model, self.settings, self.steps, self.taken, self.waiting = model, settings, steps, 0, 0
        self.inner = optimiser_for(model, settings, rate)
        rise = max(1.0, settings.warmup * steps)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.inner, lambda step: min((step + 1) / rise, (steps - step) / max(1.0, steps - rise))
        )
        self.average = {n: p.detach().clone() for n, p in model.named_parameters()} if settings.ema else {}

    def follow(self, loss: Tensor) -> float:
        """Add the gradient of `loss`, and take a step when there are enough of them; return its value."""
        loss.backward()
        self.waiting += 1
        if self.waiting == self.settings.accumulate:
            self.step()
        return float(total(loss.detach()))

    def step(self) -> None:
        """Take a step along the mean of the gradients that wait; none where none waits."""
        if not self.waiting:
            return
        for parameter in self.model.parameters() if self.waiting > 1 else ():
            if parameter.grad is not None:
                parameter.grad /= self.waiting
        add_up(self.model)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        self.inner.step()
        self.inner.zero_grad(set_to_none=True)
        self.schedule.step()
        self.taken, self.waiting = self.taken + 1, 0
        for name, parameter in self.model.named_parameters() if self.average else ():
            self.average[name].lerp_(parameter.detach(), 1 - self.settings.ema)

    def finish(self) -> None:
        """Put the averaged weights in place, if there are any."""
        for name, parameter in self.model.named_parameters() if self.average else ():
            parameter.data.copy_(self.average[name])


def groups(model: Recommender, settings: FitSettings, rate: float) -> list[dict]:
    """Return the parameters in groups: matrices that decay, the ids among them, vectors that do not, and the terms."""
    named = [(n, p) for n, p in model.named_parameters() if n not in (*TERMS, ROWS)]
    decay = settings.weight_decay
    rows = {"rows": True} if settings.optimiser == "adagrad" else {}
    return [
        {"params": [p for _, p in named if p.ndim > 1], "lr": rate, "weight_decay": decay},
        {"params": [model.residual], "lr": rate, "weight_decay": decay, **rows},
        {"params": [p for _, p in named if p.ndim <= 1], "lr": rate, "weight_decay": 0.0},
        {
            "params": [model.popularity, model.repeat, model.following],
            "lr": rate * settings.term_rate,
            "weight_decay": 0.0,
        },
    ]
