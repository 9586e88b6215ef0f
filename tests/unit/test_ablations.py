"""Facts about the ablations of the learner."""

import numpy as np
import pytest

from benchmarks.learning.ablations import INCREMENTS, PLAIN, VARIANTS, beside
from models.backtest.registry import MethodSettings, make
from models.methods.continual import Continual


def made(name: str) -> Continual:
    method = make("replay-inactive", MethodSettings(options=VARIANTS[name]))
    assert isinstance(method, Continual)
    return method


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != PLAIN])
def test_a_variant_is_one_change_and_shares_the_first_version_where_it_can(name: str):
    assert made(name).settings != made(PLAIN).settings
    assert (made(name).base_key() == made(PLAIN).base_key()) == (name in INCREMENTS)


def test_variants_are_compared_with_the_plain_one_the_best_first():
    user = np.repeat(np.arange(50), 4)
    plain = np.random.default_rng(0).random(200)
    found = beside({PLAIN: plain, "worse": plain - 0.1, "better": plain + 0.1}, user)
    assert [name for name, _ in found] == ["better", PLAIN, "worse"]
    assert [round(compared.mean, 3) for _, compared in found] == [0.1, 0.0, -0.1]
    assert found[0][1].sure
    assert not found[1][1].sure
