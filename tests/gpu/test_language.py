"""Facts about language models on a CUDA device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.language.model import open_model
from models.language.update import update
from models.text import TextEncoder
from tests.contracts.language import SETTINGS, examples
from tests.support.language import TEXTS, checkpoint

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_the_same_update_gives_the_same_bytes(tmp_path: Path, family: str, precision: str):
    path = checkpoint(tmp_path / family, family)
    settings = replace(SETTINGS, precision=precision)
    one, two = (update(open_model(path), TEXTS, examples(), settings, device="cuda").adapter for _ in range(2))
    assert one == two


def test_an_adapter_from_a_gpu_is_served_by_a_cpu(tmp_path: Path):
    path = checkpoint(tmp_path / "bert", "bert")
    adapter = update(open_model(path), TEXTS, examples(), SETTINGS, device="cuda").adapter
    rows = [TextEncoder(path, device=device, adapter=adapter).encode(TEXTS) for device in ("cpu", "cuda")]
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-4)
