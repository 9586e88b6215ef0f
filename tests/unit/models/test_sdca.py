"""Facts about the convex head: solved, and known to be."""

import numpy as np
import pytest
import torch

from models.sdca import Rows, duality_gap, primal, soft, solve


def problem(n: int = 100, k: int = 5, seed: int = 0) -> Rows:
    random = np.random.default_rng(seed)
    features = random.normal(size=(n, k)) * np.linspace(0.2, 3.0, k)
    label = np.where(features @ np.linspace(-1, 1, k) + random.logistic(size=n) > 0, 1.0, -1.0)
    return Rows(features, label, random.uniform(0.2, 2.0, n), random.normal(size=n))


def by_lbfgs(rows: Rows, ridge: float) -> np.ndarray:
    """Return the weights that another algorithm finds."""
    x, y, c, o = (torch.from_numpy(part) for part in (rows.features, rows.label, rows.weight, rows.offset))
    w = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [w], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def evaluate() -> torch.Tensor:
        solver.zero_grad()
        loss = (c * torch.nn.functional.softplus(-y * (x @ w + o))).mean() + ridge / 2 * w.square().sum()
        loss.backward()
        return loss

    solver.step(evaluate)
    return w.detach().numpy()


@pytest.mark.parametrize("ridge", [1.0, 0.1, 0.02])
def test_the_gap_closes_on_what_another_solver_finds(ridge: float):
    rows = problem()
    found, other = solve(rows, ridge, gap=1e-9, epochs=300), by_lbfgs(rows, ridge)
    assert 0 <= found.gap <= 1e-9
    np.testing.assert_allclose(found.w, other, atol=1e-3)
    assert primal(rows, found.w, ridge) <= primal(rows, other, ridge) + 1e-9


@pytest.mark.parametrize("lasso", [0.0, 0.05])
def test_the_gap_bounds_the_distance_from_the_minimum_at_every_epoch(lasso: float):
    rows, ridge = problem(), 1e-2
    least = primal(rows, solve(rows, ridge, lasso, gap=1e-10, epochs=300).w, ridge, lasso)
    for epochs in (0, 1, 2, 5, 20):
        found = solve(rows, ridge, lasso, gap=0.0, epochs=epochs)
        assert found.epochs == epochs
        assert -1e-12 <= primal(rows, found.w, ridge, lasso) - least <= found.gap + 1e-12


def test_any_dual_point_is_a_lower_bound():
    rows, ridge, lasso = problem(), 1e-2, 0.02
    least = primal(rows, solve(rows, ridge, lasso, gap=1e-10, epochs=300).w, ridge, lasso)
    for seed in range(5):
        dual = np.random.default_rng(seed).random(len(rows))
        signed = rows.label * rows.weight * dual
        w = soft(rows.features.T @ signed / (ridge * len(rows)), lasso / ridge)
        assert primal(rows, w, ridge, lasso) - duality_gap(rows, dual, ridge, lasso) <= least


def test_the_lasso_leaves_weights_at_zero_where_the_loss_pulls_less():
    rows, ridge, lasso = problem(), 0.02, 0.1
    w = solve(rows, ridge, lasso, gap=1e-10, epochs=300).w
    margin = rows.label * (rows.features @ w + rows.offset)
    pull = -(rows.weight * rows.label / (1 + np.exp(margin))) @ rows.features / len(rows)
    assert 0 < np.count_nonzero(w) < len(w)
    np.testing.assert_allclose((pull + ridge * w + lasso * np.sign(w))[w != 0], 0, atol=1e-4)
    assert np.all(np.abs(pull[w == 0]) <= lasso + 1e-4)


def test_a_row_of_weight_two_is_two_rows():
    rows = problem(60)
    double = Rows(
        *(np.concatenate([part, part[:20]]) for part in (rows.features, rows.label, rows.weight, rows.offset))
    )
    heavy = Rows(rows.features, rows.label, rows.weight * np.where(np.arange(60) < 20, 2.0, 1.0), rows.offset)
    one = solve(double, 1e-2, gap=1e-9, epochs=300)
    two = solve(heavy, 1e-2 * 80 / 60, gap=1e-9, epochs=300)  # the mean is over 60 rows, not 80
    np.testing.assert_allclose(one.w, two.w, atol=1e-3)


def test_the_same_seed_gives_the_same_weights():
    rows = problem()
    np.testing.assert_array_equal(*(solve(rows, 1e-2, epochs=3, gap=0.0, seed=4).w for _ in range(2)))


def test_no_rows_are_solved_already():
    nothing = Rows(np.zeros((0, 3)), np.zeros(0), np.zeros(0), np.zeros(0))
    assert solve(nothing, 1.0).gap == 0.0
