"""Facts about a fit by two processes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from models.parallel import parts, share
from tests.unit.models.two_processes import fitted

ROOT = Path(__file__).parents[3]


def test_one_process_has_all_of_a_batch():
    assert parts() == (0, 1)
    assert share(np.arange(3)).tolist() == [0, 1, 2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run two processes, and return the folder that they wrote to."""
    made = tmp_path_factory.mktemp("parallel")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *launch, "-m", "tests.unit.models.two_processes", str(made)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}/src:{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return made


def test_both_processes_end_with_the_same_bytes(folder: Path):
    assert (folder / "name-0").read_text() == (folder / "name-1").read_text()


def test_two_processes_learn_what_one_learns(folder: Path):
    """Nothing is dropped out, so that only the order of the sums differs."""
    weights, losses = torch.load(folder / "weights-0", weights_only=False)
    model, alone = fitted(dropout=False)
    assert losses == pytest.approx(alone, rel=1e-4)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-4, msg=name)
