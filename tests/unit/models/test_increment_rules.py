"""Facts about the rules of an increment, each against its formula."""

import re
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models import checkpoint
from models.answers import Answer
from models.batches import Batches
from models.histories import target_queries
from models.losses import softmax_loss
from models.methods.anchors import Anchor, Interpolation
from models.methods.consolidation import Consolidation, fisher_information
from models.methods.contract import Lesson, Rule
from models.methods.distillation import Distillation, adaptive_weight, divergence
from models.methods.parent import Parent
from models.methods.rules import rules
from models.recommender import Recommender
from models.settings import FitSettings
from models.training import fit
from tests.unit.models.worlds import QUICK, random_timelines, recommender

ROOT = Path(__file__).parents[3]
ITEMS = 20
STRENGTHS = {"distil_new": 1.0, "distil_replay": 1.0, "ewc": 50.0, "anchor": 1.0, "interpolate": 0.5, "ema": 0.9}


def parent() -> Recommender:
    """Return a model that has learned something."""
    model = recommender(ITEMS)
    fit(model, random_timelines(10, ITEMS, 20), settings=QUICK)
    return model


def child_of(model: Recommender, seed: int = 9, **changes: object) -> Recommender:
    child = deepcopy(model)
    new, again = random_timelines(10, ITEMS, 20, seed=seed), random_timelines(4, ITEMS, 20)
    fit(child, new, again, replace(QUICK, **{"rate": 1e-2} | changes))  # type: ignore[arg-type]
    return child


def answer_of(model: Recommender, seed: int = 5) -> Answer:
    batches = Batches(
        target_queries(random_timelines(3, ITEMS, 12, seed=seed)), model.architecture, model.clock, model.counted
    )
    (batch,) = batches.in_order(100)
    return Answer.of(model, batch, torch.from_numpy(model.clock.snapshots))


def distance(one: Recommender, other: Recommender) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return float(sum((a - b).detach().square().sum() for a, b in pairs))


def penalty_of(rule: Rule, model: Recommender) -> float:
    penalty = rule.penalty(model)
    assert penalty is not None
    return float(penalty.detach())


@pytest.mark.parametrize(("name", "strength"), STRENGTHS.items())
def test_a_rule_is_deterministic_and_changes_what_comes_out(name: str, strength: float):
    model = parent()
    hashes = [checkpoint.weights_hash(checkpoint.dump(child_of(model, **{name: strength}))) for _ in range(2)]
    assert hashes[0] == hashes[1] != checkpoint.weights_hash(checkpoint.dump(child_of(model)))


@pytest.mark.parametrize(("name", "strength"), [("ewc", 1e4), ("anchor", 30.0), ("interpolate", 0.9)])
def test_a_strong_rule_stays_nearer_to_the_parents_weights(name: str, strength: float):
    model = parent()
    assert distance(child_of(model, **{name: strength}), model) < 0.8 * distance(child_of(model), model)


def test_distillation_stays_nearer_to_the_parents_answers():
    model, asked = parent(), torch.arange(ITEMS)

    def moved(**changes: object) -> float:
        answers = answer_of(model), answer_of(child_of(model, **changes))
        return float(divergence(*(answer.of_items(asked) for answer in answers)).mean().detach())

    assert moved(distil_new=10.0) < 0.5 * moved()
    assert moved(distil_replay=10.0) < 0.9 * moved()


def test_a_first_version_has_no_rules():
    every = replace(QUICK, **STRENGTHS)
    assert rules(recommender(ITEMS), every, np.random.default_rng(0)) == []
    assert len(rules(parent(), every, np.random.default_rng(0))) == 4


def test_a_child_that_is_its_parent_learns_nothing_from_it():
    model = parent()
    answer = answer_of(model)
    asked = torch.arange(ITEMS)
    every = torch.ones(len(answer.batch.target_item), dtype=torch.bool)
    losses = Distillation(Parent(model), 1.0, 1.0, temperature=2.0).losses(answer, asked, every)
    assert losses is not None
    losses.sum().backward()
    gradients = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert losses.abs().max() < 1e-5
    assert gradients.abs().max() < 1e-4


def test_the_divergence_is_that_of_two_softmaxes():
    one, other = torch.randn(4, 7), torch.randn(4, 7)
    p, q = (one / 2).softmax(1), (other / 2).softmax(1)
    torch.testing.assert_close(divergence(one, other, 2.0), 4 * (p * (p / q).log()).sum(1))


def test_the_parent_teaches_of_items_that_it_knew_and_of_the_rows_that_are_asked_for():
    model = parent()
    rule = Distillation(Parent(model), on_new=0.0, on_replay=1.0)
    answer = answer_of(child_of(model))
    is_new = torch.arange(len(answer.batch.target_item)) % 2 == 0
    losses = rule.losses(answer, torch.arange(ITEMS), is_new)
    assert losses is not None
    assert not losses[is_new].any()
    assert bool((losses[~is_new] > 0).all())
    rule.parent.known[:] = False
    assert rule.losses(answer, torch.arange(ITEMS), is_new) is None


def test_an_item_that_nobody_took_or_moved_is_unknown_to_the_parent():
    model = recommender(ITEMS)
    model.clock.fold(np.array([3]), np.array([1.0]))
    with torch.no_grad():
        model.residual[5] += 1.0
    assert torch.nonzero(Parent(model).known).flatten().tolist() == [3, 5]


def test_the_adaptive_weight_makes_of_rows_what_ader_makes_of_means():
    rows = adaptive_weight(items_before=90, items_now=100, replayed=50, new=200)
    assert rows * 50 / 200 == pytest.approx((0.9 * 50 / 200) ** 0.5)
    assert adaptive_weight(90, 100, replayed=0, new=10) == 1.0


def test_the_fisher_information_is_the_mean_square_of_a_stretchs_gradient():
    model = parent().eval()
    queries = target_queries(random_timelines(4, ITEMS, 9))
    batches = Batches(queries, model.architecture, model.clock, model.counted)
    snapshots = torch.from_numpy(model.clock.snapshots)
    expected, targets = {n: torch.zeros_like(p) for n, p in model.named_parameters()}, 0
    for chunk in range(len(batches.chunks)):
        batch = batches.batch(np.array([chunk]))
        model.zero_grad()
        scores = model.scores(batch, snapshots).log_softmax(1)
        (-scores[batch.target_query, batch.target_item]).sum().backward()
        for name, p in model.named_parameters():
            expected[name] += 0 if p.grad is None else p.grad**2
        targets += len(batch.target_item)
    found = fisher_information(model, queries, 1_000, np.random.default_rng(0))
    for name, squares in expected.items():
        torch.testing.assert_close(found[name], squares / targets, rtol=1e-4, atol=1e-9)


def test_consolidation_costs_fisher_times_the_square_of_the_way():
    model = parent()
    rule = Consolidation(Parent(model), strength=3.0, chunks=4, generator=np.random.default_rng(0))
    queries = target_queries(random_timelines(4, ITEMS, 9))
    rule.begin(model, Lesson(queries, np.zeros(len(queries), dtype=bool)))
    assert penalty_of(rule, model) == 0.0
    with torch.no_grad():
        model.start += 0.5
    assert penalty_of(rule, model) == pytest.approx(1.5 * 0.25 * float(rule.fisher["start"].sum()), rel=1e-5)


def test_an_anchor_costs_the_square_of_the_way():
    model = parent()
    rule = Anchor(Parent(model), strength=3.0)
    with torch.no_grad():
        model.start += 0.5
    assert penalty_of(rule, model) == pytest.approx(1.5 * 0.25 * len(model.start), rel=1e-5)


def test_interpolation_ends_between_parent_and_child_and_leaves_new_ids_alone():
    model = parent()
    kept = Parent(model)
    kept.known[7] = False
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    before = deepcopy(model)
    Interpolation(kept, share=0.25).finish(model)
    torch.testing.assert_close(model.start, kept.model.start + 0.75)
    torch.testing.assert_close(model.residual[6], kept.model.residual[6] + 0.75)
    torch.testing.assert_close(model.residual[7], before.residual[7])


def test_replayed_rows_weigh_what_the_settings_say():
    """Two weights of one replay give two models; replay of no weight is no replay."""
    model = parent()
    one, half, none = (child_of(model, history_weight=w) for w in (1.0, 0.5, 0.0))
    alone = deepcopy(model)
    fit(alone, random_timelines(10, ITEMS, 20, seed=9), settings=replace(QUICK, rate=1e-2))
    hashes = [checkpoint.weights_hash(checkpoint.dump(m)) for m in (one, half, none, alone)]
    assert len(set(hashes)) == 3
    assert hashes[2] == hashes[3]


def test_the_rows_of_a_batch_are_those_of_the_softmax():
    """The objective of new rows alone is the mean of their losses, whatever else a rule may add."""
    model = parent()
    answer = answer_of(model)
    scores = answer.scores.log_softmax(1)[answer.batch.target_query, answer.batch.target_item]
    torch.testing.assert_close(softmax_loss(answer), -scores)


def test_the_rule_of_the_documentation_does_what_it_says():
    page = (ROOT / "docs/how-to/add-a-learning-method.md").read_text()
    (block,) = [b for b in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "class OldIds" in b]
    names = {"dataclass": dataclass, "torch": torch, "Parent": Parent, "Recommender": Recommender, "Rule": Rule}
    exec(block, names)
    model = parent()
    rule = names["OldIds"](Parent(model))
    rule.parent.known[7] = False
    before = model.residual.detach().clone()
    with torch.no_grad():
        model.residual.add_(1.0)
    rule.finish(model)
    moved = torch.nonzero((model.residual != before).any(dim=1)).flatten().tolist()
    assert moved == [7]


def test_every_setting_of_an_increment_is_explained():
    page = (ROOT / "docs/explanation/the-learner.md").read_text()
    assert [f.name for f in fields(FitSettings) if f"`{f.name}`" not in page] == []


def test_a_parent_that_was_stored_teaches_as_the_one_in_memory():
    """What a rule needs is in the checkpoint, so a run can be replayed."""
    model = parent()
    stored = checkpoint.load(checkpoint.dump(model))
    every = STRENGTHS | {"distil_adaptive": True}
    children = (child_of(origin, **every) for origin in (model, stored))
    assert len({checkpoint.weights_hash(checkpoint.dump(child)) for child in children}) == 1
