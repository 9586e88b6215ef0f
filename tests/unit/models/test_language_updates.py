"""Every way of training a language model, for every family, with tiny random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import TextWeightsError, TimelineError, UnknownUpdate, WrongFormat, WrongShape
from models.histories import target_queries
from models.language import adapters, encoding
from models.language.model import open_model
from models.language.objectives import Contrast, bucketed
from models.language.pairs import Pairs, Texts, pairs
from models.language.proximity import Proximity
from models.language.settings import LanguageSettings
from models.language.update import update
from models.recommender import Recommender
from models.text import TextEncoder
from models.timelines import Catalogue, timeline_from
from tests.contracts.language import SETTINGS, UpdateContract, examples, trained
from tests.support.language import FAMILIES, TEXTS, checkpoint

# Each kind with one family, and each family with one kind: what they share they share through one line.
CASES = [("lora", family) for family in FAMILIES]
CASES += [("adalora", "bert"), ("bottleneck", "gpt2"), ("full", "bert")]


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("language")
    for family in FAMILIES:
        checkpoint(home / family, family)
    return home


@pytest.fixture
def path(folder, case) -> Path:
    return folder / case[1]


@pytest.fixture
def settings(case) -> LanguageSettings:
    return replace(SETTINGS, kind=case[0])


@pytest.fixture(params=CASES, ids="-".join)
def case(request) -> tuple[str, str]:
    return request.param


class TestEveryUpdate(UpdateContract):
    """All of them keep the contract."""


def test_contrast_brings_a_history_to_its_item(folder):
    # Who had milk takes cream, who had a drill takes nails: words that have nothing in common.
    histories = [np.array([TEXTS.index(t)]) for t in ("fluid milk", "power drill")] * 20
    wanted = Pairs(tuple(histories), np.array([TEXTS.index("cream"), TEXTS.index("hammer nails")] * 20))
    done = update(open_model(folder / "bert"), TEXTS, wanted, replace(SETTINGS, epochs=12, temperature=0.2))
    assert done.report.losses[-1] < 0.5 * done.report.losses[0]


def test_words_of_the_catalogue_become_likelier(folder):
    for family in ("bert", "bert-with-head", "gpt2"):
        settings = replace(SETTINGS, kind="full", objective="pretrain", epochs=30, masked=0.3)
        losses = update(open_model(folder / family), TEXTS, examples(), settings).report.losses
        assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5]), family


def test_popular_items_are_no_worse_negatives_than_rare_ones(folder):
    model = open_model(folder / "bert")
    some = Pairs((np.array([1]),) * 10, np.array([0] * 8 + [2, 3]))
    corrected = Contrast(model, Texts.of(model.notation, TEXTS), some, SETTINGS)
    np.testing.assert_allclose(np.exp(corrected.log_q[[0, 2, 3]]), [0.8, 0.1, 0.1], rtol=1e-6)
    one = corrected.loss(np.arange(10), np.random.default_rng(0))
    model2 = Contrast(model, corrected.texts, some, replace(SETTINGS, log_q=False))
    with torch.no_grad():
        users = model.embed(model.notation.padded([corrected.texts.history(np.array([1]), 64)] * 10))
        items = model.embed(model.notation.padded([corrected.texts.item(i) for i in (0, 2, 3)]))
        logits = users @ items.T / SETTINGS.temperature
        place = torch.tensor([0] * 8 + [1, 2])
        plain = torch.nn.functional.cross_entropy(logits, place)
        by_hand = torch.nn.functional.cross_entropy(logits - torch.tensor([0.8, 0.1, 0.1]).log(), place)
    torch.testing.assert_close(one, by_hand)
    torch.testing.assert_close(model2.loss(np.arange(10), np.random.default_rng(0)), plain)


def test_what_the_user_has_is_no_negative(folder):
    model = open_model(folder / "bert")
    some = Pairs((np.array([2]), np.array([1])), np.array([0, 2]))  # the other row's item is in the first history
    loss = Contrast(model, Texts.of(model.notation, TEXTS), some, replace(SETTINGS, log_q=False))
    alone = Contrast(model, loss.texts, some[np.array([1])], replace(SETTINGS, log_q=False))
    random = np.random.default_rng(0)
    with torch.no_grad():
        assert float(loss.loss(np.array([0]), random)) == 0.0  # nothing left to be taken for
        assert float(alone.loss(np.array([0]), random)) == 0.0


def test_a_history_holds_nothing_of_its_moment_or_later():
    timeline = timeline_from("u", [4, 5, 6, 7, 4, 8], [1.0, 2.0, 2.0, 3.0, 4.0, 5.0])
    found = pairs(target_queries([timeline]), length=3)
    assert [(h.tolist(), i) for h, i in zip(found.histories, found.item.tolist(), strict=True)] == [
        ([4], 5), ([4], 6), ([6, 5, 4], 7), ([7, 6, 5], 4), ([4, 7, 6], 8),
    ]  # fmt: skip
    assert len(pairs(target_queries([timeline]), 3, most=2)) == 2


def test_a_text_alone_is_written_as_the_tokenizer_writes_it(folder):
    for family in FAMILIES:
        model = open_model(folder / family)
        for text in TEXTS:
            expected = model.notation.tokenizer(text)["input_ids"]
            assert model.notation.sequence(model.notation.pieces([text])) == expected
        pieces = model.notation.pieces(["red wine", "soft cheese", "olive oil"])
        assert len(model.notation.sequence(pieces, most=5)) <= 5
        sequence, head = model.notation.pair(pieces[:2], pieces[2], most=7)
        assert len(sequence) <= 7
        assert sequence[head : head + 2] == pieces[2]


def test_batches_are_of_similar_length_and_hold_everything_once():
    lengths = np.random.default_rng(0).integers(4, 60, size=200)
    batches = bucketed(lengths, 16, np.random.default_rng(1))
    assert sorted(np.concatenate(batches).tolist()) == list(range(200))
    padded = sum(len(b) * lengths[b].max() for b in batches)
    loose = sum(len(b) * lengths[b].max() for b in bucketed(lengths, 16, np.random.default_rng(1), by_length=False))
    assert padded < 0.75 * loose


def test_activation_checkpointing_changes_no_gradient(folder):
    plain = replace(SETTINGS, objective="pretrain", batch=6, epochs=1)
    path = checkpoint(folder / "gpt2-still", "gpt2-still")
    whole = trained(path, plain)
    kept = trained(path, replace(plain, checkpointing=True))
    for name, tensor in adapters.tensors_of(whole.adapter).items():
        torch.testing.assert_close(adapters.tensors_of(kept.adapter)[name], tensor)


def test_two_small_batches_make_the_step_of_one_large_one(folder):
    plain = replace(SETTINGS, kind="bottleneck", objective="pretrain", rate=1e-3, bucketing=False)
    few = TEXTS[:1] * 12  # the same words in each row, so that means over rows are means over words
    path = checkpoint(folder / "gpt2-still", "gpt2-still")
    whole = update(open_model(path), few, examples(), replace(plain, batch=12))
    parts = update(open_model(path), few, examples(), replace(plain, batch=5, accumulate=3))
    assert parts.report.steps == whole.report.steps == SETTINGS.epochs
    for name, tensor in adapters.tensors_of(whole.adapter).items():
        torch.testing.assert_close(adapters.tensors_of(parts.adapter)[name], tensor)


def test_bf16_learns_nearly_the_same(folder):
    losses = [
        trained(folder / "bert", replace(SETTINGS, precision=precision)).report.losses for precision in ("fp32", "bf16")
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.1)


def test_adalora_ends_with_the_rank_that_was_asked_for(folder):
    settings = replace(SETTINGS, kind="adalora", epochs=6)
    tensors = adapters.tensors_of(trained(folder / "bert", settings).adapter)
    values = {name: t for name, t in tensors.items() if "lora_E" in name}
    assert all(len(t) == 2 * settings.rank for t in values.values())
    alive = sum(int((t != 0).sum()) for t in values.values())
    assert alive == settings.rank * len(values)


def test_proximity_is_a_divergence():
    before = {"m.lora_A.default.weight": torch.randn(2, 3, generator=torch.Generator().manual_seed(0))}
    same = {name: torch.nn.Parameter(t.clone()) for name, t in before.items()}
    term = Proximity(before, 2.0, torch.device("cpu"))
    assert float(term(same).detach()) == pytest.approx(0.0, abs=1e-6)
    moved = {name: torch.nn.Parameter(t + torch.tensor([0.5, 0.0, 0.0])) for name, t in before.items()}
    p, q = (t.flatten().double().softmax(0) for t in (before[next(iter(before))], moved[next(iter(moved))].detach()))
    assert float(term(moved).detach()) == pytest.approx(2.0 * 6 * float((p * (p / q).log()).sum()), rel=1e-4)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"kind": "frozen"}, UnknownUpdate),
        ({"kind": "soft-prompt"}, UnknownUpdate),
        ({"objective": "chat"}, UnknownUpdate),
        ({"precision": "fp8"}, UnknownUpdate),
        ({"augmentation": "emoji"}, UnknownUpdate),
        ({"targets": ("nowhere",)}, UnknownUpdate),
    ],
)
def test_what_does_not_exist_is_refused(folder, changed, error):
    with pytest.raises(error):
        trained(folder / "bert", replace(SETTINGS, **changed))


def test_a_predecessor_of_another_rank_is_refused(folder):
    done = trained(folder / "bert", SETTINGS)
    with pytest.raises(WrongShape, match="rank"):
        trained(folder / "bert", replace(SETTINGS, rank=3), done.adapter)
    with pytest.raises(WrongFormat):
        adapters.manifest(b"nonsense")


def test_nothing_to_learn_is_said(folder):
    with pytest.raises(TimelineError, match="nothing to learn"):
        update(open_model(folder / "bert"), TEXTS, Pairs((), np.zeros(0, dtype=np.int64)), SETTINGS)


def test_a_name_that_this_machine_does_not_have_is_no_checkpoint(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(TextWeightsError, match="no language model nobody/nothing"):
        open_model("nobody/nothing")


def test_the_new_text_appears_when_it_is_whole(folder, tmp_path):
    encoder, file = TextEncoder(folder / "bert"), tmp_path / "text.npy"
    abandoned = encoding.write(encoder, TEXTS, file, portion=5)
    assert next(abandoned) == 5
    abandoned.close()
    assert list(tmp_path.iterdir()) == []
    assert list(encoding.write(encoder, TEXTS, file, portion=5)) == [5, 10, 12]
    rows = encoding.read(file)
    assert isinstance(rows, np.memmap)
    np.testing.assert_allclose(rows, encoder.encode(TEXTS), atol=1e-6)


def test_a_flip_to_the_same_text_turned_changes_no_vector():
    random = np.random.default_rng(0)
    text = random.normal(size=(40, 8)).astype(np.float32)
    text[3] = 0.0  # without text
    model = Recommender(Catalogue(tuple(f"i{n}" for n in range(40)), text))
    before, ids = model.item_vectors().detach().numpy(), model.item_ids
    rotation = np.linalg.qr(random.normal(size=(8, 8)))[0].astype(np.float32)
    encoding.flip(model, text @ rotation + np.where(text.any(axis=1, keepdims=True), 0.3, 0.0).astype(np.float32))
    np.testing.assert_allclose(model.item_vectors().detach().numpy(), before, atol=1e-4)
    assert model.item_ids == ids
    model.append(Catalogue(("new",), text[:1] @ rotation + np.float32(0.3)))  # is whitened like the others
    np.testing.assert_allclose(model.item_vectors().detach().numpy()[-1], before[0], atol=1e-4)
