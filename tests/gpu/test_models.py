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


@pytest.mark.parametrize("sampled", [False, True])
def test_the_same_fit_gives_the_same_bytes(sampled: bool):
    changes = {"whole_softmax_items": 1} if sampled else {}
    assert checkpoint.dump(fitted(**changes)) == checkpoint.dump(fitted(**changes))


def test_the_tower_learns_what_follows_what():
    found = metrics(rank(ModelScorer(fitted()), cycle(40, ITEMS, 40, since=20 * HOUR)))
    assert found["recall@1"] > 0.8


def test_a_model_scores_on_the_device_as_on_the_processor():
    model = fitted()
    lines = cycle(40, ITEMS, 40, since=20 * HOUR)
    here = rank(ModelScorer(model), lines)
    there = rank(ModelScorer(model.to("cuda")), lines)
    assert np.mean(here.rank == there.rank) > 0.99
