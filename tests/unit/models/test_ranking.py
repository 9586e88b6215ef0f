"""Facts about the ranking head, in worlds whose truth is known."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import safetensors.torch
import torch

from models.backtest.answers import auc
from models.errors import UnknownChoice, WrongFormat, WrongShape
from models.histories import Queries, queries_at, target_queries
from models.ranking import checkpoint
from models.ranking.calibration import calibrated, calibration_error, quality
from models.ranking.examples import TASKS, Examples, World, examples
from models.ranking.export import scoring, shares
from models.ranking.features import LOGGED, NUMBERS, PAIR, Inputs
from models.ranking.head import FURTHEST, Head, Shape
from models.ranking.learning import RankingReport, fit_head
from models.ranking.reranking import HeadScorer, read_pairs
from models.ranking.settings import RankingSettings
from models.recommender import Recommender
from models.scorers import ModelScorer, moved_through
from models.timelines import EVENT_TYPES
from tests.unit.models.worlds import DAY, HOUR, random_timelines, recommender, timeline
from tidegate.families import RANKER

D = 4
PURCHASE, VIEW = TASKS.index("purchase"), TASKS.index("view")


def rows(
    n: int, done: np.ndarray, drawn: np.ndarray, noise: float, inputs: Inputs, value: np.ndarray | None = None
) -> Examples:
    """Return rows in order of time; `done` (n, tasks)."""
    return Examples(
        query=np.arange(n),
        user=np.zeros(n, dtype=np.int64),
        number=np.zeros(n, dtype=np.int64),
        time=np.arange(n) * HOUR,
        done=done,
        drawn=drawn,
        hard=np.zeros(n, dtype=bool),
        noise=np.full(n, noise, dtype=np.float32),
        value=np.full(n, np.nan, dtype=np.float32) if value is None else value.astype(np.float32),
        category=np.full(n, -1),
        inputs=inputs,
    )


def blank(n: int, seed: int = 0) -> Inputs:
    """Return inputs whose numbers say nothing and whose vectors are random."""
    random = torch.Generator().manual_seed(seed)
    return Inputs(
        torch.zeros(n, len(NUMBERS)), torch.randn(n, D, generator=random), torch.randn(n, D, generator=random)
    )


def drawn_rows(size: int = 40, **said: object) -> Examples:
    """Return rows of users without a pattern."""
    model = recommender(size)
    queries = target_queries(random_timelines(30, size, 30))
    found = examples(
        model, moved_through(model.clock, queries), queries, None, RankingSettings(**said), World(), seed=1
    )
    assert found is not None
    return found


def skewed(events: int, size: int, seed: int = 0) -> tuple[list, np.ndarray]:
    """Return users who all draw from the same probabilities (N,), and those."""
    p = 1.0 / np.arange(1, size + 1)
    p /= p.sum()
    random = np.random.default_rng(seed)
    users = [
        timeline(random.choice(size, 50, p=p), HOUR * np.sort(random.uniform(0, 24 * 30, 50)), f"u{n}")
        for n in range(events // 50)
    ]
    return users, p


def digest(head: Head) -> str:
    return hashlib.sha256(checkpoint.dump(head)).hexdigest()


def test_what_is_read_of_a_pair_is_of_the_released_service():
    assert set(PAIR) <= {feature.partition(":")[2] for feature in RANKER.features}


def test_a_feature_that_decides_what_is_taken_is_found():
    found = drawn_rows()
    random = np.random.default_rng(0)
    values = random.uniform(0, 5, (len(found), len(PAIR)))
    place = PAIR.index("price_to_mean_spend")
    values[:, place] = np.where(found.drawn, 2.0, 0.5) + random.uniform(0, 0.5, len(found))
    found = found.with_pairs(values)
    assert len(set(NUMBERS)) == len(NUMBERS)
    head = Head(Shape(16))
    fit_head(head, found, RankingSettings(first_epochs=12, first_rate=1e-2))
    parts = {name: float(np.abs(share - share.mean()).mean()) for name, share in shares(head, found.inputs).items()}
    assert max(parts, key=lambda name: parts[name]) == "price_to_mean_spend"
    f = head.densities(found.inputs)[:, 0]
    assert auc(np.zeros(len(f), dtype=np.int64), ~found.drawn, f) > 0.95


def test_the_shares_of_a_linear_head_add_up_to_its_answer():
    found = drawn_rows()
    head = Head(Shape(16))
    fit_head(head, found, RankingSettings())
    whole = sum(shares(head, found.inputs).values()) + head.bias[0].item()
    np.testing.assert_allclose(whole, head.densities(found.inputs)[:, 0], rtol=1e-3, atol=1e-3)


@cache
def skewed_world(uniform: int = 4, hard: int = 4) -> tuple[Recommender, Queries, np.ndarray, Head, RankingReport]:
    """Return a head of a world where everybody draws from the same probabilities (N,), after ten days of it."""
    size = 60
    lines, p = skewed(4_000, size)
    model = recommender(size)
    for t in lines:
        early = t.times < 10 * DAY
        model.clock.fold(t.items[early], t.times[early])
    queries = target_queries([replace(t, learn_from=10 * DAY) for t in lines])
    settings = RankingSettings(uniform=uniform, hard=hard, best=10, vectors=False, first_epochs=12, first_rate=1e-2)
    found = examples(model, moved_through(model.clock, queries), queries, None, settings, World(), seed=0)
    assert found is not None
    head = Head(Shape(16, vectors=False))
    return model, queries, p, head, fit_head(head, found, settings)


@pytest.mark.parametrize(("uniform", "hard"), [(4, 0), (4, 4), (2, 12)])
def test_a_density_is_the_true_one_whatever_is_drawn(uniform: int, hard: int):
    model, queries, p, head, report = skewed_world(uniform, hard)
    # One question: an item drawn from the truth, or uniformly?
    random, size = np.random.default_rng(5), len(p)
    last = queries[np.unique(queries.user, return_index=True)[1]]
    asked = np.repeat(np.arange(len(last)), 40)
    taken = random.random(len(asked)) < 0.5
    item = np.where(taken, random.choice(size, len(asked), p=p), random.integers(size, size=len(asked)))
    said = head.probabilities(read_pairs(model, last[asked], item, World()))[:, 0]
    assert np.abs(said - p[item] / (p[item] + 1 / size)).mean() < 0.06
    logit = np.log(said) - np.log1p(-said)
    assert calibration_error(logit, taken, np.ones(len(taken))) < 0.05
    assert report.after.log_loss < np.log(2)


def test_with_the_odds_of_a_catalogue_its_probabilities_add_up_to_one():
    model, queries, p, head, _ = skewed_world()
    late, size = queries[queries.time > 25 * DAY], len(p)
    every, item = np.repeat(np.arange(len(late)), size), np.tile(np.arange(size), len(late))
    said = head.probabilities(read_pairs(model, late[every], item, World()), odds=1 / (size - 1))[:, 0]
    assert said.reshape(len(late), size).sum(axis=1).mean() == pytest.approx(1.0, abs=0.2)


def bend(given: Inputs) -> np.ndarray:
    """Return what a linear head cannot see: a user's first number with an item's second."""
    return (given.user[:, 0] * given.item[:, 1]).numpy() > 0


def bent(n: int, purchases: float, seed: int) -> Examples:
    """Return rows half of which were taken, all by the bend; a few of the taken ones were purchases."""
    given = blank(n, seed)
    random = np.random.default_rng(seed)
    taken = random.random(n) < np.where(bend(given), 0.95, 0.05)
    bought = taken & (random.random(n) < purchases)
    done = np.zeros((n, len(TASKS)), dtype=bool)
    done[:, 0], done[:, PURCHASE], done[:, VIEW] = taken, bought, taken & ~bought
    return rows(n, done, ~taken, 0.0, given)


def test_other_tasks_help_a_rare_one():
    found, fresh = bent(4_000, 0.01, 1), bent(2_000, 0.5, 2)
    alone = found[found.drawn | found.done[:, PURCHASE]]
    alone = replace(alone, done=alone.done * (np.arange(len(TASKS)) == PURCHASE))
    settings = RankingSettings(hidden=16, first_epochs=40, first_rate=1e-2, rows=256, ridge=1e-4)
    figures = []
    for known in (found, alone):
        head = Head(Shape(D, hidden=16))
        fit_head(head, known, settings)
        asked = fresh[fresh.drawn | fresh.done[:, PURCHASE]]
        f = head.densities(asked.inputs)[:, PURCHASE]
        figures.append(auc(np.zeros(len(f), dtype=np.int64), asked.done[:, PURCHASE], f))
    together, by_itself = figures
    assert together > 0.85
    assert together > by_itself + 0.05


def test_what_is_done_with_an_item_is_a_share_of_its_being_taken():
    found = bent(2_000, 0.1, 3)
    head = Head(Shape(D))
    fit_head(head, found, RankingSettings(uniform=1))
    said = head.probabilities(found.inputs)
    assert np.all(said <= said[:, :1] + 1e-12)
    taken = found.done[:, 0]
    late = found.done[len(found) * 3 // 4 :]  # what it was calibrated by
    share = late[:, PURCHASE].sum() / late[:, 0].sum()
    assert said[taken, PURCHASE].sum() / said[taken, 0].sum() == pytest.approx(share, abs=0.03)
    assert not said[:, TASKS.index("cart")].any(), "a task that was never seen is not expected"


def test_a_rating_is_foretold():
    given, random = blank(2_000, 4), np.random.default_rng(4)
    value = 3.0 + given.item[:, 0].numpy() + 0.1 * random.normal(size=2_000)
    done = np.zeros((2_000, len(TASKS)), dtype=bool)
    done[:, 0] = done[:, TASKS.index("rating")] = np.arange(2_000) % 2 == 0
    found = rows(2_000, done, ~done[:, 0], 0.0, given, np.where(done[:, 0], value, np.nan))
    head = Head(Shape(D))
    fit_head(head, found, RankingSettings(value=1.0, first_epochs=100, first_rate=1e-2))
    assert np.abs(head.values(given) - value).mean() < 0.25


@pytest.mark.parametrize("weighing", ["even", "learned"])
@pytest.mark.parametrize("optimiser", ["adamw", "adam", "sgd", "adagrad"])
def test_each_optimiser_learns_and_repeats_itself(optimiser: str, weighing: str):
    found = bent(1_000, 0.2, 5)
    settings = RankingSettings(hidden=8, optimiser=optimiser, weighing=weighing, first_rate=1e-2, sentiment=0.1)
    heads = []
    for _ in range(2):
        head = Head(Shape(D, hidden=8), seed=3)
        report = fit_head(head, found, settings, seed=3)
        assert report.losses[-1] < report.losses[0]
        heads.append(digest(head))
    assert heads[0] == heads[1]


def test_a_solved_head_is_no_worse_than_one_that_took_steps():
    found = drawn_rows()
    solved, stepped = Head(Shape(16, vectors=False)), Head(Shape(16, vectors=False))
    settings = RankingSettings(vectors=False, ridge=1e-2, optimiser="sdca", passes=50)
    report = fit_head(solved, found, settings)
    fit_head(stepped, found, replace(settings, optimiser="adamw", first_epochs=40))
    assert report.gap is not None
    assert report.gap <= settings.gap
    assert cost(solved, found, settings) <= cost(stepped, found, settings) + 2e-3


def cost(head: Head, found: Examples, settings: RankingSettings) -> float:
    """Return what "taken" costs, ridge included."""
    late = found.time >= found.time[int(len(found) * (1 - settings.held))]
    known = found[~late]
    f = head.densities(known.inputs)[:, 0] - known.noise
    way = (head.wide[0].square().sum() + head.bias[0].square()).item()
    return float(np.logaddexp(0, np.where(known.drawn, f, -f)).mean() + settings.ridge / 2 * way)


def test_what_does_not_exist_is_named():
    found = bent(200, 0.2, 5)
    for strange in ({"optimiser": "newton"}, {"weighing": "odd"}, {"calibration": "magic"}):
        with pytest.raises(UnknownChoice, match=str(next(iter(strange.values())))):
            fit_head(Head(Shape(D)), found, RankingSettings(**strange))


@pytest.mark.parametrize("kind", ["platt", "isotonic", "temperature"])
def test_a_calibrated_probability_is_a_frequency(kind: str):
    random = np.random.default_rng(0)
    f = random.normal(size=8_000)
    taken = random.random(8_000) < 1 / (1 + np.exp(-f))
    confident = 3.0 * f if kind == "temperature" else 3.0 * f + 1.0
    found = calibrated(kind, confident[:4_000], taken[:4_000], draws=1)
    before = quality(confident[4_000:], taken[4_000:], 1)
    after = quality(found(confident[4_000:]), taken[4_000:], 1)
    assert before.error > 0.1
    assert after.error < 0.045
    assert after.log_loss < before.log_loss
    mapped = found(np.sort(confident))
    assert np.all(np.diff(mapped) >= 0), "the order stays"


def test_few_rows_make_no_map():
    found = calibrated("platt", np.array([1.0, -1.0]), np.array([True, False]), 1)
    assert (found.slope, found.shift, len(found.knots)) == (1.0, 0.0, 0)


def world_queries(size: int = 30) -> tuple[Queries, HeadScorer, ModelScorer]:
    model, found = recommender(size), drawn_rows(size)
    head = Head(Shape(16))
    fit_head(head, found, RankingSettings(first_rate=1e-2))
    queries = target_queries(random_timelines(8, size, 12))
    return queries, HeadScorer(model, head, World(), best=5), ModelScorer(model)


def test_reranking_moves_the_best_among_themselves_and_nothing_else():
    queries, ours, plain = world_queries()
    before = np.concatenate([rows for _, rows in plain.scores(queries)])
    after = np.concatenate([rows for _, rows in ours.scores(queries)])
    order, other = np.argsort(-before, axis=1), np.argsort(-after, axis=1)
    assert [set(row) for row in order[:, :5].tolist()] == [set(row) for row in other[:, :5].tolist()]
    rest = [np.take_along_axis(before, o[:, 5:], axis=1) for o in (order, other)]
    np.testing.assert_allclose(*rest, atol=1e-5)
    assert not np.array_equal(order[:, :5], other[:, :5])


def test_an_item_is_read_the_same_alone_and_among_others():
    queries, ours, _ = world_queries()
    nobody = queries_at([timeline([], [], "nobody"), timeline([3], [HOUR], "somebody")], at=DAY)
    for asked in (queries[np.arange(4)], nobody):
        one = read_pairs(ours.model, asked, np.arange(len(asked)), World())
        pairs = np.repeat(np.arange(len(asked)), 2)
        two = read_pairs(
            ours.model, asked[pairs], np.column_stack([np.arange(len(asked)), pairs[::2]]).ravel(), World()
        )
        np.testing.assert_allclose(one.numbers.numpy(), two.numbers.numpy()[::2], rtol=1e-5, atol=1e-5)


def test_what_is_drawn_was_not_taken_and_was_there():
    size, lines = 20, random_timelines(10, 15, 20)
    queries = target_queries(lines)
    model = recommender(size)
    born = np.concatenate([np.full(15, -np.inf), np.full(5, 4.0 * HOUR)])
    clock = moved_through(model.clock, queries)
    found = examples(model, clock, queries, None, RankingSettings(), World(True, born), 0)
    assert found is not None
    assert np.all((found.number < 15) | (found.time >= 4.0 * HOUR))
    assert (found.number[found.drawn] >= 15).any()
    pairs = set(zip(*queries.targets(), strict=True))
    assert not pairs & set(zip(found.query[found.drawn].tolist(), found.number[found.drawn].tolist(), strict=True))
    never = examples(model, clock, queries, None, RankingSettings(), World(repeats=False), 0)
    assert never is not None
    for row in np.flatnonzero(never.drawn):
        query = never.query[row]
        history = queries.histories.items[queries.first[query] : queries.start[query]]
        assert never.number[row] not in history


def test_the_types_of_a_moments_events_are_its_tasks():
    line = timeline([1, 1, 2], [HOUR, HOUR, HOUR])
    line = replace(line, types=np.array([EVENT_TYPES.index(t) for t in ("view", "purchase", "rating")], dtype=np.int8))
    queries = target_queries([line])
    values = np.array([np.nan, 9.0, 4.0], dtype=np.float32)
    model = recommender(10)
    found = examples(model, moved_through(model.clock, queries), queries, values, RankingSettings(), World(), 0)
    assert found is not None
    names = [{t for t, d in zip(TASKS, row, strict=True) if d} for row in found.done]
    done = dict(zip(found.number.tolist(), names, strict=True))
    assert done[1] == {"taken", "view", "purchase"}
    assert done[2] == {"taken", "rating"}
    assert sorted(found.value[np.isfinite(found.value)].tolist()) == [4.0]


def test_a_head_comes_back_from_its_bytes():
    found = drawn_rows()
    for settings in (RankingSettings(hidden=8), RankingSettings(calibration="isotonic")):
        head = Head(Shape.of(settings, 16, 0))
        fit_head(head, found, settings)
        back = checkpoint.load(checkpoint.dump(head))
        assert digest(back) == digest(head)
        np.testing.assert_array_equal(back.probabilities(found.inputs), head.probabilities(found.inputs))


@pytest.mark.parametrize("hidden", [0, 4])
def test_a_head_from_before_a_number_was_read_answers_as_it_did(hidden: int):
    found = drawn_rows()
    head, new = Head(Shape(16, hidden)), NUMBERS.index("follows")
    fit_head(head, found, RankingSettings(hidden=hidden))
    with torch.no_grad():
        for part in (head.wide, head.trunk):
            part[:, new] = 0.0
    back = checkpoint.load(without(checkpoint.dump(head), new))
    np.testing.assert_array_equal(back.densities(found.inputs), head.densities(found.inputs))
    assert back.wide.shape == head.wide.shape


def without(data: bytes, number: int) -> bytes:
    """Return a head's bytes as they would be if a number were not read."""
    with_it = safetensors.torch.load(data)
    for name, dimension in (("wide", 1), ("trunk", 1), ("mean", 0), ("scale", 0)):
        kept = torch.arange(with_it[name].shape[dimension]) != number
        with_it[name] = with_it[name][:, kept].contiguous() if dimension else with_it[name][kept]
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    manifest = json.loads(header[checkpoint.MANIFEST])
    del manifest["numbers"][number]
    return safetensors.torch.save(with_it, metadata={checkpoint.MANIFEST: json.dumps(manifest)})


def test_strange_bytes_are_no_head():
    data = checkpoint.dump(Head(Shape(D)))
    for strange in (b"", b"12345678", data[:40], data.replace(b'\\"format\\": 1', b'\\"format\\": 9')):
        with pytest.raises(WrongFormat):
            checkpoint.load(strange)
    with pytest.raises(WrongFormat, match="other tasks or numbers"):
        checkpoint.load(data.replace(b"affinity", b"infinity"))
    with pytest.raises(WrongShape):
        checkpoint.load(data.replace(b'\\"dimensions\\": 4', b'\\"dimensions\\": 5'))


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_the_exported_numbers_give_the_heads_probabilities(kind: str):
    found = drawn_rows()
    head = Head(Shape(16))
    fit_head(head, found, RankingSettings(calibration=kind))
    said = json.loads(json.dumps(scoring(head)))
    numbers, user, item = (part.numpy().astype(np.float64) for part in vars(found.inputs).values())
    scale = np.array([np.nan if s is None else s for s in said["scale"]])
    known = np.clip(np.nan_to_num((numbers - said["mean"]) / scale), -FURTHEST, FURTHEST)
    task = said["tasks"]["taken"]
    f = numbers[:, 0] + task["bias"] + known @ task["weights"]
    f += user @ task["user"] + item @ task["item"] + (user * item) @ task["match"]
    line = task["calibration"]
    f = np.interp(f, line["knots"], line["values"]) if line["knots"] else line["slope"] * f + line["shift"]
    np.testing.assert_allclose(1 / (1 + np.exp(-f)), head.probabilities(found.inputs)[:, 0], atol=1e-4)
    assert said["logged"] == list(NUMBERS[LOGGED])
    assert scoring(Head(Shape(D, hidden=2))) is None
