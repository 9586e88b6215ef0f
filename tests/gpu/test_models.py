"""Facts about the models on a CUDA device."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models import checkpoint
from models.evaluation import metrics, rank
from models.scorers import ModelScorer
from models.training import fit
from tests.unit.models.worlds import EAGER, HOUR, cycle, recommender

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

ITEMS = 20


def fitted(**changes: object):
    model = recommender(ITEMS)
    fit(model, cycle(40, ITEMS, 40), settings=replace(EAGER, **changes), device="cuda")
    return model


CHANGES = [
    {},
    {"loss": "sampled-softmax"},
    {"loss": "gbce", "negatives": 8},
    {"adversary": "fgm"},
    {"optimiser": "adagrad", "first_rate": 3e-2},
    {"patience": 1},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_the_same_fit_gives_the_same_bytes(changes: dict):
    assert checkpoint.dump(fitted(**changes)) == checkpoint.dump(fitted(**changes))


def test_batches_from_pinned_memory_are_the_same():
    assert checkpoint.dump(fitted(prefetch=0)) == checkpoint.dump(fitted(prefetch=3))


def test_an_increment_with_rules_gives_the_same_bytes():
    def increment() -> bytes:
        model = fitted()
        rules = replace(EAGER, distil_replay=0.5, distil_new=0.5, ewc=10.0, anchor=0.1, interpolate=0.1)
        fit(model, cycle(20, ITEMS, 40, since=30 * HOUR), cycle(9, ITEMS, 9), rules, device="cuda")
        return checkpoint.dump(model)

    assert increment() == increment()


def test_the_tower_learns_what_follows_what():
    found = metrics(rank(ModelScorer(fitted()), cycle(40, ITEMS, 40, since=20 * HOUR)))
    assert found["recall@1"] > 0.8


def test_a_model_scores_on_the_device_as_on_the_processor():
    model = fitted()
    lines = cycle(40, ITEMS, 40, since=20 * HOUR)
    here = rank(ModelScorer(model), lines)
    there = rank(ModelScorer(model.to("cuda")), lines)
    assert np.mean(here.rank == there.rank) > 0.99
