"""Batches that are ready when they are wanted.

Building a batch is numpy on one thread, a step is torch on another or on a GPU: while one works, the other need not
wait. The order is that of the plan, so nothing that is computed changes.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor

from models.batches import Batch

Build = Callable[[np.ndarray], Batch]


def ahead(build: Build, plan: Sequence[np.ndarray], device: torch.device, number: int) -> Iterator[Batch]:
    """Yield the batch on `device` of each entry of the plan, `number` of them being made ahead by a thread.

    On a GPU they are made in pinned memory, which is copied while the GPU computes. Zero: each one when it is wanted.
    """
    if number < 1:
        yield from (build(chosen).to(device) for chosen in plan)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
        waiting: list[Future[Batch]] = []
        for chosen in plan:
            waiting.append(thread.submit(_made, build, chosen, device))
            if len(waiting) > number:
                yield waiting.pop(0).result().to(device)
        while waiting:
            yield waiting.pop(0).result().to(device)


def _made(build: Build, chosen: np.ndarray, device: torch.device) -> Batch:
    batch = build(chosen)
    return pinned(batch) if device.type == "cuda" else batch


def pinned(batch: Batch) -> Batch:
    """Return the batch in memory that a GPU can read by itself."""
    values = {f.name: getattr(batch, f.name) for f in fields(batch)}
    moved = {name: value.pin_memory() for name, value in values.items() if isinstance(value, Tensor)}
    return replace(batch, **moved)  # type: ignore[arg-type]  # `number` is no tensor and stays
