"""Facts about steps: what they remember, when they stop, where they are attacked."""

import threading
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from models import checkpoint
from models.adversary import fgm, pgd
from models.ahead import ahead
from models.answers import Answer
from models.batches import Batch, Batches
from models.head import TERMS, standardised, term_rows
from models.histories import target_queries
from models.methods.contract import Lesson
from models.objective import Objective, WholeSoftmax
from models.optimisers import AdaGrad, Optimiser
from models.recommender import Recommender
from models.sdca import primal
from models.settings import FitSettings
from models.stopping import Stopping, parted
from models.training import fit
from tests.unit.models.worlds import HOUR, QUICK, cycle, habits, random_timelines, recommender

ITEMS = 15
EVERY = np.arange(ITEMS)


def lesson_of(timelines: list) -> Lesson:
    queries = target_queries(timelines)
    return Lesson(queries, np.ones(len(queries), dtype=bool))


def name_of(model: Recommender) -> str:
    return checkpoint.weights_hash(checkpoint.dump(model))


def test_adagrad_is_that_of_torch():
    start = torch.randn(4, 3)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    steps = AdaGrad([{"params": [ours], "lr": 0.1}]), torch.optim.Adagrad([theirs], lr=0.1, eps=1e-8)
    for _ in range(5):
        for parameter, optimiser in zip((ours, theirs), steps, strict=True):
            optimiser.zero_grad()
            (parameter**3).sum().backward()
            optimiser.step()
    torch.testing.assert_close(ours, theirs)


def test_row_wise_adagrad_remembers_one_number_a_row():
    rows = torch.nn.Parameter(torch.zeros(3, 4))
    optimiser = AdaGrad([{"params": [rows], "lr": 0.1, "rows": True}])
    gradient = torch.tensor([[2.0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    for _ in range(2):
        rows.grad = gradient.clone()
        optimiser.step()
    assert optimiser.state[rows]["sum"].tolist() == [[2.0], [2.0], [0.0]]
    # The mean square of both first rows is one: 0.1 * g * (1 + 1 / sqrt 2).
    torch.testing.assert_close(rows.detach(), -0.1 * gradient * (1 + 0.5**0.5), rtol=1e-5, atol=1e-7)


def test_gradients_of_two_batches_make_one_step_along_their_mean():
    model, other = recommender(ITEMS), recommender(ITEMS)
    objective = Objective(model, lesson_of(cycle(8, ITEMS, 10)), QUICK, np.random.default_rng(0))
    batches = Batches(target_queries(cycle(8, ITEMS, 10)), model.architecture, model.clock, model.counted)
    model.eval(), other.eval()
    two = Optimiser(model, replace(QUICK, accumulate=2, optimiser="sgd"), steps=1)
    for chunks in ([0, 1], [2, 3]):
        two.follow(objective(batches.batch(np.array(chunks)), batches.targets_of(np.array(chunks))))
    assert two.taken == 1
    one = Optimiser(other, replace(QUICK, optimiser="sgd"), steps=1)
    objective.model = other
    one.follow(objective(batches.batch(np.arange(4)), batches.targets_of(np.arange(4))))
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def attacked() -> tuple[Recommender, Answer, WholeSoftmax]:
    model = recommender(ITEMS)
    fit(model, cycle(8, ITEMS, 12), settings=replace(QUICK, first_epochs=5, first_rate=1e-2))
    batches = Batches(target_queries(cycle(8, ITEMS, 12)), model.architecture, model.clock, model.counted)
    answer = Answer.of(model, next(batches.in_order(100)), torch.from_numpy(model.clock.snapshots))
    return model, answer, WholeSoftmax(model)


@pytest.mark.parametrize("size", [0.01, 0.3, 2.0])
def test_an_adversary_stays_in_its_ball_and_makes_the_loss_larger(attacked: tuple, size: float):
    model, answer, loss = attacked

    def cost(nudge: torch.Tensor) -> torch.Tensor:
        moved = Answer.of(model, answer.batch, answer.snapshots, nudge)
        return loss(moved, loss.drawn).mean()

    start = torch.zeros(ITEMS, model.architecture.dimensions)
    one, several = fgm(cost, start, size), pgd(cost, start, size, steps=4)
    random = torch.nn.functional.normalize(torch.randn(start.shape).flatten(), dim=0).view_as(start) * size
    with torch.no_grad():
        clean, by_one, by_several, by_chance = (float(cost(nudge)) for nudge in (start, one, several, random))
    assert one.norm() == pytest.approx(size, rel=1e-4)
    assert several.norm() <= size * 1.0001
    assert by_one > max(clean, by_chance)
    assert by_several >= by_one - 1e-4


def test_the_last_slice_is_of_the_latest_new_events():
    new, old = target_queries(random_timelines(6, ITEMS, 30)), 4
    lesson = Lesson(new, new.user >= old)  # the first four users are replayed
    learned, late = parted(lesson, 0.25)
    assert len(learned.queries) + len(late) == len(new)
    assert np.all(late.user >= old)
    assert late.time.min() >= learned.new.time.max()
    share = (late.stop - late.start).sum() / (lesson.new.stop - lesson.new.start).sum()
    assert 0.15 < share <= 0.25
    assert len(parted(lesson, 0.0)[1]) == 0


def test_stopping_puts_the_best_weights_back_even_those_from_before():
    model = recommender(ITEMS)
    late = target_queries(cycle(4, ITEMS, 6))
    stopping = Stopping(model, late, WholeSoftmax(model), replace(QUICK, first_patience=2))
    best = name_of(model)
    for expected in (False, True):
        with torch.no_grad():
            model.projection.weight.mul_(30)
        assert stopping.enough() == expected
    stopping.restore()
    assert name_of(model) == best
    assert stopping.measures[0] == min(stopping.measures)


def test_a_fit_that_gets_worse_stops_early():
    lines = random_timelines(6, ITEMS, 30)  # nothing can be learned here but by heart
    eager = replace(QUICK, first_patience=0, first_epochs=30, first_rate=2e-2, chunks=2)
    model, stopped = recommender(ITEMS), recommender(ITEMS)
    assert fit(model, lines, settings=eager).epochs == 30
    assert fit(stopped, lines, settings=replace(eager, first_patience=2)).epochs < 15


def test_a_solved_head_moves_the_terms_alone_and_carries_its_certificate():
    model = recommender(30)
    lines = habits(20, 30, 8)
    fit(model, [replace(t, learn_until=4 * 24 * HOUR) for t in lines], settings=QUICK)
    before = deepcopy(model)
    new = [replace(t, learn_from=4 * 24 * HOUR) for t in lines]
    report = fit(model, new, settings=replace(QUICK, optimiser="sdca", head_epochs=30))
    assert report.gap is not None
    assert 0 <= report.gap <= QUICK.head_gap
    for (name, a), b in zip(model.named_parameters(), before.parameters(), strict=True):
        assert torch.equal(a, b) != (name in ("popularity", "repeat", "following"))


def test_a_solved_head_predicts_its_rows_better_than_the_parents():
    model = recommender(30)
    lines = habits(20, 30, 6)
    fit(model, lines, settings=QUICK)
    rows, scale = standardised(term_rows(model, lesson_of(lines), 1.0, np.random.default_rng(0)))
    assert primal(rows, np.zeros(TERMS + 1), 1e-3) > 0
    old = {name: getattr(model, name).detach().clone() for name in ("popularity", "repeat", "following")}
    fit(model, lines, settings=replace(QUICK, optimiser="sdca"))
    way = np.concatenate([(getattr(model, n) - old[n]).detach().numpy() for n in old]) * scale[:TERMS]
    bias = min(primal(rows, np.append(way, b), 1e-3) for b in np.linspace(-8, 8, 65))
    without = min(primal(rows, np.append(0 * way, b), 1e-3) for b in np.linspace(-8, 8, 65))
    assert bias < without


def test_the_rows_of_a_head_say_what_the_model_says():
    """A parent's weights on the features, plus the vectors, are the offset: the score of the pair."""
    model = recommender(30)
    lines = habits(6, 30, 5)
    fit(model, lines, settings=QUICK)
    queries = target_queries(lines)
    rows = term_rows(model, lesson_of(lines), 1.0, np.random.default_rng(0))
    batches = Batches(queries, model.architecture, model.clock, model.counted)
    scores = []
    for batch in batches.in_order(64):
        answer = Answer.of(model, batch, torch.from_numpy(model.clock.snapshots))
        scores.append(answer.target.detach().numpy())
    np.testing.assert_allclose(rows.offset[rows.label > 0], np.concatenate(scores), rtol=1e-4, atol=1e-5)


def test_a_replayed_row_weighs_what_the_settings_say():
    queries = target_queries(habits(6, 30, 5))
    model = recommender(30)
    rows = term_rows(model, Lesson(queries, queries.user > 2), 0.25, np.random.default_rng(0))
    assert set(rows.weight.tolist()) == {0.25, 1.0}


def test_batches_that_are_made_ahead_are_the_same_in_the_same_order():
    lines = random_timelines(12, ITEMS, 30)
    model = recommender(ITEMS)
    batches = Batches(target_queries(lines), model.architecture, model.clock, model.counted)
    plan = batches.shuffled(3, 1_000, np.random.default_rng(0))
    alone, threaded = (list(ahead(batches.batch, plan, torch.device("cpu"), number)) for number in (0, 2))
    assert [b.number.tolist() for b in alone] == [b.number.tolist() for b in threaded]
    settings = replace(QUICK, chunks=3)
    names = set()
    for prefetch in (0, 3):
        other = recommender(ITEMS)
        fit(other, lines, settings=replace(settings, prefetch=prefetch))
        names.add(name_of(other))
    assert len(names) == 1


def test_no_more_batches_wait_than_were_asked_for():
    made: list[int] = []
    third = threading.Event()

    def build(chosen: np.ndarray) -> Batch:
        made.append(int(chosen[0]))
        if len(made) == 3:
            third.set()
        return batches.batch(np.array([0]))

    model = recommender(ITEMS)
    batches = Batches(target_queries(cycle(2, ITEMS, 5)), model.architecture, model.clock, model.counted)
    stream: Iterator[Batch] = ahead(build, [np.array([n]) for n in range(9)], torch.device("cpu"), 2)
    next(stream)
    assert third.wait(timeout=30)
    assert made == [0, 1, 2]
    stream.close()  # type: ignore[attr-defined]


def test_an_error_in_the_thread_is_an_error_here():
    def build(chosen: np.ndarray) -> Batch:
        raise ValueError("no batch")

    with pytest.raises(ValueError, match="no batch"):
        list(ahead(build, [EVERY], torch.device("cpu"), 1))


def test_old_settings_are_settings_still():
    """A row of a stream or a manifest holds some of the fields; the others have defaults that change nothing."""
    old = {"first_epochs": 3, "rate": 1e-3, "ema": 0.5, "negatives": 64}
    settings = FitSettings(**old)
    assert (settings.loss, settings.optimiser, settings.adversary, settings.patience) == ("softmax", "adamw", "", 0)


@pytest.mark.long
@pytest.mark.timeout(600)  # the compiler takes a minute on a quiet machine
def test_a_compiled_tower_learns_what_the_plain_one_learns():
    models = recommender(ITEMS), recommender(ITEMS)
    losses = [
        fit(model, cycle(6, ITEMS, 12), settings=replace(QUICK, compile=compiled)).losses
        for model, compiled in zip(models, (False, True), strict=True)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)  # dropout draws otherwise
    assert "forward" not in models[1].encoder.__dict__
