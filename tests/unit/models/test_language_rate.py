"""The count of operations that the GPU benchmark goes by, on a CPU with toy shapes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import gpu
from models.language.pairs import Pairs
from models.language.update import update

WORDS = 99


WIDE = {"hidden_size": 256, "intermediate_size": 512}  # beside a rank of one, LoRA's own products are small


@pytest.mark.parametrize("name", sorted(gpu.TINY))
def test_useful_operations_are_those_that_are_computed(name):
    load = replace(gpu.TINY[name], batch=4, shape=gpu.TINY[name].shape | WIDE)
    device = torch.device("cpu")
    settings = replace(gpu.settings_of(load, device), precision="fp32", rank=1)
    model = gpu.random_model(load, device, WORDS)
    examples = Pairs(tuple(np.array([i]) for i in (3, 0, 1, 2)), np.arange(4))
    with FlopCounterMode(display=False) as counted:
        update(model, gpu.texts(load, 4, WORDS), examples, settings)
    assert gpu.operations(load, WORDS) == pytest.approx(counted.get_total_flops(), rel=0.05)


def test_the_benchmark_runs_without_a_gpu():
    figures = gpu.measure(gpu.TINY, torch.device("cpu"), {"bert": WORDS, "llama": WORDS}, side=64, steps=4)
    assert all(figures[f"{name}_texts_per_second"] > 0 for name in gpu.TINY)
