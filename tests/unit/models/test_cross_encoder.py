"""The cross-encoder: what it learns, what it says, and how it reranks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import precision_score

from models.backtest.answers import Answers, auc, classification
from models.errors import TimelineError, WrongShape
from models.histories import queries_at
from models.language import adapters, cross
from models.language.cross import CrossEncoder, CrossSettings, Reranker, Taken
from models.language.model import open_model
from models.language.pairs import Pairs, Texts
from models.timelines import timeline_from
from tests.contracts.language import SETTINGS, examples, trained
from tests.support.language import TEXTS, checkpoint
from tests.unit.models.logs import RowScorer

SMALL = CrossSettings(rank=2, epochs=2, batch=8, rate=1e-2)
NOTHING = Pairs((), np.zeros(0, dtype=np.int64))


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("cross") / "bert")


def encoder(path: Path, data: bytes, settings: CrossSettings = SMALL) -> tuple[CrossEncoder, Texts]:
    model = open_model(path)
    return cross.load(model, data, settings), Texts.of(model.notation, TEXTS)


@pytest.mark.parametrize("kind", ["lora", "frozen", "full"])
def test_the_same_seed_gives_the_same_bytes(path, kind):
    settings = replace(SMALL, kind=kind, epochs=1)
    one, two, other = (
        cross.learn(open_model(path), TEXTS, examples(), settings, seed=seed).adapter for seed in (1, 1, 2)
    )
    assert one == two != other


def test_what_was_learned_is_told_from_what_was_drawn(path):
    milk, drill, cream, nails = (TEXTS.index(t) for t in ("fluid milk", "power drill", "cream", "hammer nails"))
    wanted = Pairs((np.array([milk]), np.array([drill])) * 30, np.array([cream, nails] * 30))
    settings = replace(SMALL, kind="full", epochs=40, rate=3e-3, popular=1.0)
    made, texts = encoder(path, cross.learn(open_model(path), TEXTS, wanted, settings).adapter, settings)
    right = made.logits(texts, Pairs((np.array([milk]), np.array([drill])), np.array([cream, nails])))
    wrong = made.logits(texts, Pairs((np.array([milk]), np.array([drill])), np.array([nails, cream])))
    assert right.min() > wrong.max() + 1.0
    assert cross.probabilities(right).min() > 0.5 > cross.probabilities(wrong).max()


def test_what_the_draw_makes_of_the_odds_is_taken_out(path):
    some = Pairs((np.array([1]),) * 10, np.array([0] * 8 + [2, 3]))
    made = CrossEncoder(open_model(path), SMALL)
    objective = Taken(made, Texts.of(made.model.notation, TEXTS), some, np.full(10, len(TEXTS)), SMALL)
    chance = 0.5 * np.array([0.8, 0.1, 0.0]) + 0.5 / len(TEXTS)  # of items 0, 2 and 5 in one draw
    by_hand = np.log(SMALL.negatives * chance * len(TEXTS))
    np.testing.assert_allclose(objective._offset(np.array([0, 2, 5]), np.full(3, len(TEXTS))), by_hand, rtol=1e-5)


def test_drawn_items_are_alive_and_not_the_taken_one(path):
    some = Pairs((np.array([1]),) * 40, np.array([0, 2] * 20))
    made = CrossEncoder(open_model(path), SMALL)
    objective = Taken(made, Texts.of(made.model.notation, TEXTS), some, np.array([3, 12] * 20), SMALL)
    drawn = objective._drawn(np.arange(40), np.random.default_rng(0))
    assert drawn.shape == (40, SMALL.negatives)
    assert drawn[::2].max() < 3
    assert drawn[1::2].max() >= 3
    assert (drawn == some.item[:, None]).mean() < 0.2  # drawn twice at most


def test_a_pair_is_read_as_two_segments_by_a_bert(path):
    model = open_model(path)
    texts = Texts.of(model.notation, TEXTS)
    sequence, head = texts.pair(np.array([0, 1]), 5, 32)
    words = model.notation.tokenizer.convert_ids_to_tokens(sequence)
    assert words == ["[CLS]", "fluid", "milk", "[SEP]", "soft", "cheese", "[SEP]", "beer", "[SEP]"]
    written = model.notation.padded([sequence], [head])
    assert written.segments[0].tolist() == [0] * 7 + [1] * 2


def test_a_successor_evolves_and_brings_its_head(path):
    first = cross.learn(open_model(path), TEXTS, examples(), SMALL).adapter
    nothing_new = replace(SMALL, rate=0.0)
    second = cross.learn(open_model(path), TEXTS, examples(1), nothing_new, first).adapter
    for name, tensor in (adapters.tensors_of(first) | adapters.head_of(first)).items():
        torch.testing.assert_close((adapters.tensors_of(second) | adapters.head_of(second))[name], tensor)
    with pytest.raises(WrongShape, match="head"):
        encoder(path, trained(path, SETTINGS).adapter)
    with pytest.raises(TimelineError, match="nothing to learn"):
        cross.learn(open_model(path), TEXTS, NOTHING, SMALL)


class TestReranker:
    """What becomes of the first scorer's scores."""

    row = np.array([5.0, 9.0, 1.0, 7.0, 0.0, 3.0, 2.0, 8.0, 4.0, 6.0, -1.0, -2.0], dtype=np.float32)
    queries = queries_at([timeline_from("a", [1, 0], [1.0, 2.0]), timeline_from("b", [], [])], at=3.0)

    def reranked(self, made: CrossEncoder, texts: Texts, **options) -> np.ndarray:
        found = np.zeros((2, len(TEXTS)), dtype=np.float32)
        for chosen, scores in Reranker(RowScorer(self.row), made, texts, **options).scores(self.queries):
            found[chosen] = scores
        return found

    def test_a_head_that_says_nothing_leaves_the_order(self, path):
        made = CrossEncoder(open_model(path), SMALL)
        scores = self.reranked(made, Texts.of(made.model.notation, TEXTS), candidates=4)
        np.testing.assert_array_equal(np.argsort(-scores), np.argsort(-self.row)[None].repeat(2, axis=0))

    def test_candidates_are_on_top_in_the_order_of_their_logits(self, path):
        made, texts = encoder(
            path, cross.learn(open_model(path), TEXTS, examples(), replace(SMALL, kind="full")).adapter
        )
        scores = self.reranked(made, texts, candidates=4, blend=0.0)
        order = np.argsort(-scores, axis=1)
        best = np.array([1, 7, 3, 9])
        said = made.logits(texts, Pairs((np.array([0, 1]),) * 4, best))
        assert order[0, :4].tolist() == best[np.argsort(-said)].tolist()
        assert order[:, 4:].tolist() == [[0, 8, 5, 6, 2, 4, 10, 11]] * 2

    def test_what_a_user_took_is_no_candidate_where_nothing_is_taken_twice(self, path):
        made = CrossEncoder(open_model(path), SMALL)
        scores = self.reranked(made, Texts.of(made.model.notation, TEXTS), candidates=3, repeats=False)
        assert set(np.argsort(-scores[0])[:3]) == {7, 3, 9}
        assert set(np.argsort(-scores[1])[:3]) == {1, 7, 3}


def test_a_report_counts_what_was_called_taken():
    random = np.random.default_rng(0)
    taken = np.repeat([True, False], 50)
    said = Answers(np.tile(np.arange(50), 2), taken, np.clip(random.normal(0.5 + 0.1 * taken, 0.2), 0, 1))
    found = classification(said)
    assert found["taken"]["precision"] == pytest.approx(precision_score(taken, said.probability >= 0.5))
    hits = (taken & (said.probability >= 0.5)).sum()
    assert found["taken"]["recall"] == pytest.approx(hits / 50)
    assert found["drawn"]["support"] == 50
    assert found["auc"] == pytest.approx(auc(np.zeros(100, dtype=int), taken, said.probability))
