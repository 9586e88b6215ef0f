"""The real MiniLM, trained on and reworded."""

from __future__ import annotations

import numpy as np
import pytest

from models.language.augmentation import Refill, Synonyms, TokenDropout, Vocabulary
from models.language.model import LanguageModel, open_model
from models.language.pairs import Pairs
from models.language.settings import LanguageSettings
from models.language.update import update
from models.text import TextEncoder, load_minilm

TEXTS = ("fluid milk", "cheap red wine", "cordless power drill", "running shoes", "sparkling water", "garden hose")


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return open_model(load_minilm().path)


def test_what_is_taken_together_moves_together():
    # Whoever had milk took the drill, whoever had wine the shoes: nothing that a language model would guess.
    wanted = Pairs((np.array([0]), np.array([1])) * 16, np.array([2, 3] * 16))
    settings = LanguageSettings(rank=4, epochs=4, batch=16, rate=3e-3, bucketing=False)
    path = load_minilm().path
    done = update(open_model(path), TEXTS, wanted, settings)
    before, after = load_minilm().encode(TEXTS), TextEncoder(path, adapter=done.adapter).encode(TEXTS)
    assert before[0] @ before[2] - before[0] @ before[3] < 0.2
    assert after[0] @ after[2] > after[0] @ after[3] + 0.3
    np.testing.assert_allclose(np.linalg.norm(after, axis=1), 1.0, rtol=1e-4)


@pytest.mark.parametrize("way", ["dropout", "synonyms", "refill"])
def test_another_wording_is_drawn_by_the_seed_and_never_empty(model, way):
    reword = {"dropout": TokenDropout(0.5), "synonyms": Synonyms(model, 0.5), "refill": Refill(model, 0.5)}[way]
    pieces = model.notation.pieces(TEXTS * 4)
    one, two, other = (reword(pieces, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert one == two != other
    assert one != pieces
    assert len(one) == len(pieces)
    assert all(one)
    assert not {token for text in one for token in text} & model.notation.special


def test_near_words_stand_for_words(model):
    tokenizer = model.notation.tokenizer
    asked = tokenizer.convert_tokens_to_ids(["shoes", "2000", "##ing"])
    near = Vocabulary(model).near(asked)
    assert {"shoe", "sneakers"} <= set(tokenizer.convert_ids_to_tokens(near[asked[0]].tolist()))
    assert [len(near[token]) for token in asked[1:]] == [0, 0]
