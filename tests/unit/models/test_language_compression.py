"""Smaller language models: what they still say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from models.errors import UnknownUpdate
from models.language.compression import Compression, Int8Linear, compressed, matrix, prune_neurons, size_of, strongest
from models.language.model import blocks, open_model
from models.text import TextEncoder, load_minilm
from tests.contracts.language import SETTINGS, once
from tests.support.language import FAMILIES, TEXTS, checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("smaller")
    for family in FAMILIES:
        checkpoint(home / family, family)
    return home


def test_integers_multiply_to_nearly_the_same():
    torch.manual_seed(0)
    layer, x = nn.Linear(64, 48), torch.randn(3, 5, 64)
    whole = layer(x)
    found = Int8Linear(layer.weight.detach(), layer.bias)(x)
    assert found.shape == whole.shape
    assert float((found - whole).detach().norm() / whole.detach().norm()) < 0.02


@pytest.mark.parametrize("family", FAMILIES)
def test_int8_and_pruning_work_for_each_family(folder, family):
    whole = TextEncoder(folder / family).encode(TEXTS)
    int8 = TextEncoder(folder / family, smaller=Compression(int8=True)).encode(TEXTS)
    assert (whole * int8).sum(axis=1).min() > 0.99
    pruned = TextEncoder(folder / family, smaller=Compression(neurons=0.25))
    assert pruned.encode(TEXTS).shape == whole.shape
    assert pruned.identity.endswith("+neurons-0.25")


def test_neurons_that_say_nothing_can_go(folder):
    for family in ("bert", "gpt2", "llama"):
        model = open_model(folder / family)
        written = model.notation.padded(model.notation.pieces(TEXTS))
        block = blocks(model.body)[0]
        out = {"bert": "output.dense", "gpt2": "mlp.c_proj", "llama": "mlp.down_proj"}[family]
        silent = torch.arange(0, 64 if family == "gpt2" else 32, 4)
        with torch.no_grad():
            matrix(block.get_submodule(out))[:, silent] = 0.0
        before = model.read(written)
        prune_neurons(block, 0.25)
        torch.testing.assert_close(model.read(written), before)
        assert matrix(block.get_submodule(out)).shape[1] == (64 if family == "gpt2" else 32) * 3 // 4


def test_heads_that_write_nothing_can_go(folder):
    model = open_model(folder / "bert")
    written = model.notation.padded(model.notation.pieces(TEXTS))
    for block in blocks(model.body):
        block.attention.output.dense.weight.data[:, :8] = 0.0  # the first of two heads
    before = model.read(written)
    torch.testing.assert_close(open_model(folder / "bert").read(written).shape, before.shape)
    compressed(model.body, Compression(heads=0.5))
    torch.testing.assert_close(model.read(written), before)
    assert blocks(model.body)[0].attention.self.num_attention_heads == 1
    with pytest.raises(UnknownUpdate, match="neurons"):
        compressed(open_model(folder / "gpt2").body, Compression(heads=0.5))


def test_the_strongest_are_kept_in_their_old_order():
    assert strongest(torch.tensor([3.0, 1.0, 5.0, 2.0]), 0.5).tolist() == [0, 2]
    assert strongest(torch.tensor([3.0, 1.0]), 1.0).tolist() == [0]


def test_an_adapter_is_merged_before_it_is_rounded(folder):
    adapter = once(folder / "bert", SETTINGS).adapter
    whole = TextEncoder(folder / "bert", adapter=adapter)
    smaller = TextEncoder(folder / "bert", adapter=adapter, smaller=Compression(int8=True))
    assert smaller.identity == whole.identity + "+int8"
    assert (whole.encode(TEXTS) * smaller.encode(TEXTS)).sum(axis=1).min() > 0.99


def test_minilm_in_int8_finds_the_same_neighbours_in_less_than_half_the_size():
    minilm = load_minilm()
    smaller = TextEncoder(minilm.path, smaller=Compression(int8=True))
    whole, int8 = minilm.encode(TEXTS), smaller.encode(TEXTS)
    assert (whole * int8).sum(axis=1).min() > 0.97
    nearest = [np.argsort(-(rows @ rows.T), axis=1)[:, 1] for rows in (whole, int8)]
    assert (nearest[0] == nearest[1]).mean() > 0.8
    body = open_model(minilm.path).body
    before = size_of(body)
    assert size_of(compressed(body, Compression(int8=True))) < 0.7 * before
