"""How a step follows the gradient."""

import torch
from torch import Tensor

from models.recommender import Recommender
from models.settings import FitSettings

TERMS = ("popularity", "repeat")


class Optimiser:
    """AdamW with a rate that rises and falls, clipped gradients and, if asked for, averaged weights."""

    def __init__(self, model: Recommender, settings: FitSettings, steps: int) -> None:
        rate = settings.first_rate if model.increments == 0 else settings.rate
        self.model, self.settings, self.steps, self.taken = model, settings, steps, 0
        self.adam = torch.optim.AdamW(groups(model, settings, rate), fused=False, foreach=True)
        rise = max(1.0, settings.warmup * steps)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.adam, lambda step: min((step + 1) / rise, (steps - step) / max(1.0, steps - rise))
        )
        self.average = {n: p.detach().clone() for n, p in model.named_parameters()} if settings.ema else {}

    def step(self, loss: Tensor) -> float:
        """Follow the gradient of `loss` once; return its value."""
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        self.adam.step()
        self.schedule.step()
        self.taken += 1
        for name, parameter in self.model.named_parameters() if self.average else ():
            self.average[name].lerp_(parameter.detach(), 1 - self.settings.ema)
        return float(loss.detach())

    def finish(self) -> None:
        """Put the averaged weights in place, if there are any."""
        for name, parameter in self.model.named_parameters() if self.average else ():
            parameter.data.copy_(self.average[name])


def groups(model: Recommender, settings: FitSettings, rate: float) -> list[dict]:
    """Return the parameters in three groups: matrices that decay, vectors that do not, and the terms."""
    named = [(n, p) for n, p in model.named_parameters() if n not in TERMS]
    return [
        {"params": [p for _, p in named if p.ndim > 1], "lr": rate, "weight_decay": settings.weight_decay},
        {"params": [p for _, p in named if p.ndim <= 1], "lr": rate, "weight_decay": 0.0},
        {"params": [model.popularity, model.repeat], "lr": rate * settings.term_rate, "weight_decay": 0.0},
    ]
