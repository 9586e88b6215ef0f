"""Facts about losses, each against its formula written out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid, softplus

from models import checkpoint
from models.answers import Answer
from models.batches import Batches
from models.errors import UnknownChoice
from models.evaluation import metrics, rank
from models.histories import target_queries
from models.losses import binary_loss, sampled_softmax_loss, softmax_loss, trusted
from models.scorers import ModelScorer
from models.timelines import Timeline
from models.training import fit
from tests.unit.models.worlds import HOUR, QUICK, habits, random_timelines, recommender, timeline

ITEMS = 15


def answered(timelines: list[Timeline], seed: int = 0) -> Answer:
    """Return what an untrained model with lively vectors says."""
    model = recommender(ITEMS, seed).eval()
    with torch.no_grad():
        model.projection.weight.mul_(2)
    batches = Batches(target_queries(timelines), model.architecture, model.clock, model.counted)
    (batch,) = batches.in_order(1000)
    return Answer.of(model, batch, torch.from_numpy(model.clock.snapshots))


@pytest.fixture(params=["baskets", "habits"])
def answer(request: pytest.FixtureRequest) -> Answer:
    worlds = {"baskets": random_timelines(5, ITEMS, 12), "habits": habits(5, ITEMS, 4)}
    return answered(worlds[request.param])


def test_scores_of_some_items_are_columns_of_the_scores_of_all(answer: Answer):
    items = torch.tensor([7, 2, 11])
    torch.testing.assert_close(answer.of_items(items), answer.scores[:, items])
    torch.testing.assert_close(answer.target, answer.scores[answer.batch.target_query, answer.batch.target_item])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_softmax_is_the_cross_entropy_with_the_wanted_distribution(answer: Answer, smoothing: float):
    batch = answer.batch
    wanted = torch.full((len(batch.target_item), ITEMS), smoothing / ITEMS)
    wanted[torch.arange(len(wanted)), batch.target_item] += 1 - smoothing
    expected = -(wanted * answer.scores.log_softmax(1)[batch.target_query]).sum(1)
    torch.testing.assert_close(softmax_loss(answer, smoothing), expected)


def test_a_smoothed_sample_estimates_the_smoothed_whole(answer: Answer):
    chance = np.random.default_rng(1).dirichlet(np.full(ITEMS, 20.0))
    drawn = np.random.default_rng(2).choice(ITEMS, 8000, p=chance)
    expected = torch.from_numpy(np.log(8000 * chance[drawn]).astype(np.float32))
    sampled = sampled_softmax_loss(answer, torch.from_numpy(drawn), expected, 0.2).mean()
    assert sampled.item() == pytest.approx(softmax_loss(answer, 0.2).mean().item(), rel=0.01)


def by_hand(answer: Answer, negatives: list[int], power: float, bias: float = 0.0) -> torch.Tensor:
    """Return gBCE as the paper writes it, row by row."""
    batch, scores = answer.batch, answer.scores - bias
    rows = []
    for query, item in zip(batch.target_query.tolist(), batch.target_item.tolist(), strict=True):
        together = set(batch.target_item[batch.target_query == query].tolist())
        rejected = sum(logsigmoid(-scores[query, n]) for n in negatives if n not in together)
        rows.append(-(power * logsigmoid(scores[query, item]) + rejected) / (len(negatives) + 1))
    return torch.stack(rows)


@pytest.mark.parametrize("t", [0.0, 0.5, 1.0])
def test_gbce_is_that_of_the_paper(answer: Answer, t: float):
    negatives = [3, 9, 1, 14]
    rate = 4 / (ITEMS - 1)
    power = rate * (t * (1 - 1 / rate) + 1 / rate)
    for bias in (0.0, 2.0):
        found = binary_loss(answer, torch.tensor(negatives), t, bias=bias)
        torch.testing.assert_close(found, by_hand(answer, negatives, power, bias))


def test_t_goes_from_plain_binary_cross_entropy_to_the_sampling_rate():
    answer = answered(habits(5, ITEMS, 4))
    negatives = [3, 9, 1, 14]
    torch.testing.assert_close(binary_loss(answer, torch.tensor(negatives), 0.0), by_hand(answer, negatives, 1.0))
    rate = 4 / (ITEMS - 1)
    torch.testing.assert_close(binary_loss(answer, torch.tensor(negatives), 1.0), by_hand(answer, negatives, rate))


def test_what_was_taken_at_the_same_moment_is_nobodys_negative():
    answer = answered([timeline([1, 2, 3, 4], [0, HOUR, HOUR, HOUR])])
    basket = answer.batch.target_query == 1
    alone = softplus(-answer.target[basket])  # all three of the basket's negatives are in the basket
    torch.testing.assert_close(binary_loss(answer, torch.tensor([2, 3, 4]))[basket], alone / 4)


def test_a_row_that_costs_too_much_teaches_nothing():
    losses = torch.tensor([1.0, 2.0, 9.0], requires_grad=True)
    trusted(losses, clip=5.0).sum().backward()
    assert losses.grad is not None
    assert losses.grad.tolist() == [1.0, 1.0, 0.0]
    assert trusted(losses) is losses


def test_a_doubted_row_counts_by_a_power_of_its_probability():
    losses = torch.tensor([1.0, 2.0, 9.0], requires_grad=True)
    trusted(losses, doubt=0.5).sum().backward()
    weight = torch.exp(-0.5 * losses.detach())
    assert losses.grad is not None
    torch.testing.assert_close(losses.grad, weight / weight.mean())


@pytest.mark.parametrize("changes", [{"loss": "sampled-softmax"}, {"loss": "gbce"}, {"loss": "bce"}])
def test_every_loss_learns_what_is_bought_again(changes: dict):
    """Three of a basket's four items are the user's own."""
    lines, since = habits(30, 30, 12), 10 * 24 * HOUR
    model = recommender(30)
    settings = replace(QUICK, first_epochs=6, negatives=16, first_rate=1e-2, **changes)
    fit(model, [replace(t, learn_until=since) for t in lines], settings=settings)
    found = metrics(rank(ModelScorer(model), [replace(t, learn_from=since) for t in lines]))
    assert found["recall@10"] > 0.7


SETTINGS = [
    {"loss": "sampled-softmax"},
    {"loss": "gbce"},
    {"loss": "bce"},
    {"label_smoothing": 0.1},
    {"loss_clip": 2.0},
    {"doubt": 0.2},
    {"adversary": "fgm"},
    {"adversary": "pgd"},
    {"weight_decay": 0.5},
    {"patience": 1},
    {"accumulate": 2},
    {"optimiser": "adam"},
    {"optimiser": "adagrad"},
    {"optimiser": "sgd"},
]


def name_of_fitted(changes: dict) -> str:
    model = recommender(ITEMS)
    lines = random_timelines(10, ITEMS, 20)
    fit(model, lines, settings=replace(QUICK, chunks=3, negatives=8))
    fit(model, lines, random_timelines(3, ITEMS, 9), replace(QUICK, chunks=3, negatives=8, **changes), seed=3)
    return checkpoint.weights_hash(checkpoint.dump(model))


@pytest.mark.parametrize("changes", SETTINGS, ids=str)
def test_a_setting_is_deterministic_and_does_something(changes: dict):
    assert name_of_fitted(changes) == name_of_fitted(changes) != name_of_fitted({})


@pytest.mark.parametrize("changes", [{"loss": "hinge"}, {"optimiser": "adma"}, {"adversary": "evil"}], ids=str)
def test_a_name_that_does_not_exist_is_told(changes: dict):
    with pytest.raises(UnknownChoice, match="there are"):
        name_of_fitted(changes)
