"""Facts about whitening."""

import numpy as np

from models.whitening import fit_whitening


def narrow_cone(items: int = 400, dimensions: int = 12) -> np.ndarray:
    random = np.random.default_rng(0)
    return (5.0 + random.normal(size=(items, dimensions)) * np.linspace(0.1, 2.0, dimensions)).astype(np.float32)


def test_whitened_text_has_the_same_variance_in_each_direction():
    text = narrow_cone()
    whitening = fit_whitening(text, 12)
    whitened = (text - whitening.centre) @ whitening.basis
    np.testing.assert_allclose(np.cov(whitened.T, bias=True), np.eye(12), atol=1e-4)


def test_rows_have_length_one():
    text = narrow_cone()
    np.testing.assert_allclose(np.linalg.norm(fit_whitening(text, 6).apply(text), axis=1), 1.0, rtol=1e-5)


def test_an_item_without_text_stays_zero():
    text = narrow_cone()
    text[3] = 0
    whitened = fit_whitening(text, 6).apply(text)
    assert not whitened[3].any()
    assert whitened[4].any()


def test_fewer_items_than_directions_leave_the_others_empty():
    text = narrow_cone(items=3)
    whitened = fit_whitening(text, 8).apply(text)
    assert whitened.shape == (3, 8)
    assert np.isfinite(whitened).all()
    assert not whitened[:, 2:].any()


def test_one_text_or_none_is_not_enough_to_fit():
    assert not fit_whitening(np.zeros((5, 4), dtype=np.float32), 3).fitted
    assert not fit_whitening(narrow_cone(items=1), 3).fitted
    assert not fit_whitening(np.zeros((5, 0), dtype=np.float32), 3).fitted


def test_the_sign_of_a_direction_does_not_depend_on_the_solver():
    text = narrow_cone()
    basis = fit_whitening(text, 6).basis
    strongest = np.abs(basis).argmax(axis=0)
    assert (basis[strongest, np.arange(6)] > 0).all()
