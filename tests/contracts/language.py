"""What every way of training a language model promises, for every family."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import WrongShape
from models.language import adapters
from models.language.model import open_model
from models.language.pairs import Pairs
from models.language.settings import LanguageSettings
from models.language.update import Update, update
from models.text import TextEncoder
from tests.support.language import TEXTS

SETTINGS = LanguageSettings(epochs=2, batch=8, rank=2, width=4, rate=1e-2)


def examples(seed: int = 0, size: int = 40) -> Pairs:
    """Return examples without any pattern."""
    random = np.random.default_rng(seed)
    histories = tuple(random.permutation(len(TEXTS))[:3] for _ in range(size))
    return Pairs(histories, random.integers(len(TEXTS), size=size))


def trained(path: Path, settings: LanguageSettings, predecessor: bytes | None = None, seed: int = 0) -> Update:
    """Return an update of the checkpoint on some examples."""
    return update(open_model(path), TEXTS, examples(seed), settings, predecessor, seed=seed)


@cache
def once(path: Path, settings: LanguageSettings) -> Update:
    """Return an update that several facts are about."""
    return trained(path, settings)


class UpdateContract:
    """The suite; a subclass has the fixtures `path` (of a checkpoint) and `settings`."""

    @pytest.fixture
    def done(self, path: Path, settings: LanguageSettings) -> Update:
        return once(path, settings)

    def test_the_same_seed_gives_the_same_bytes_and_another_one_others(self, path, settings, done):
        assert trained(path, settings).adapter == done.adapter
        assert trained(path, settings, seed=1).adapter != done.adapter

    def test_what_was_trained_is_what_is_served(self, path, settings, done):
        model = open_model(path)
        with torch.random.fork_rng():
            adapter = adapters.attach(model.body, settings, steps=1)
        adapters.fill(adapter, adapters.tensors_of(done.adapter))
        pieces = model.notation.pieces(TEXTS)
        with torch.no_grad():
            there = model.embed(model.notation.padded([model.notation.sequence([p]) for p in pieces])).numpy()
        served = TextEncoder(path, adapter=done.adapter).encode(TEXTS)
        np.testing.assert_allclose(served, there, atol=1e-5)
        assert np.abs(served - TextEncoder(path).encode(TEXTS)).max() > 1e-4

    def test_another_adapter_is_another_encoder(self, path, settings, done):
        encoder, plain = TextEncoder(path, adapter=done.adapter), TextEncoder(path)
        assert encoder.identity.startswith(f"{plain.identity}+{settings.kind}@")
        assert encoder.adapted(None).identity == plain.identity

    def test_an_adapter_begins_as_the_model_that_it_is_put_into(self, path, settings, done):
        model, plain = open_model(path), open_model(path)
        adapters.attach(model.body, settings, steps=10)
        written = model.notation.padded([[2, 5, 6, 3], [5, 6]])
        with torch.no_grad():
            np.testing.assert_allclose(model.read(written), plain.read(written), atol=1e-6)

    def test_a_strong_tie_keeps_a_successor_near(self, path, settings, done):
        def moved(proximity: float) -> float:
            after = trained(path, replace(settings, proximity=proximity), done.adapter, seed=1).adapter
            before, now = (adapters.tensors_of(data) for data in (done.adapter, after))
            return sum(float((now[name] - tensor).square().sum()) for name, tensor in before.items())

        assert moved(100.0) < moved(0.0)

    def test_a_successor_names_its_predecessor(self, path, settings, done):
        after = trained(path, settings, done.adapter, seed=1).adapter
        assert adapters.name(done.adapter).endswith("@" + adapters.manifest(after)["parent"][:12])

    def test_an_adapter_of_another_checkpoint_is_refused(self, path, settings, done):
        with pytest.raises(WrongShape, match="checkpoint"):
            adapters.merged(open_model(path).body, done.adapter, "another@000000000000")

    def test_the_rest_of_the_model_stays_as_it_was(self, path, settings):
        model, plain = open_model(path), open_model(path)
        update(model, TEXTS, examples(), settings)
        if settings.kind != "full":
            np.testing.assert_array_equal(model.embeddings.weight, plain.embeddings.weight)
            assert not model.embeddings.weight.requires_grad
