"""The command line of the learning benchmark, on files that were written a moment ago."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(300)  # three processes import torch


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Eight customers who take two articles of their own and one that all take, every day for thirty days."""
    rows = [
        f"u{user},i{item},{86_400 * day + 60 * user},purchase"
        for day in range(30)
        for user in range(8)
        for item in (2 * user, 2 * user + 1, 16)
    ]
    (tmp_path / "events.csv").write_text("\n".join(["user,item,time,type", *rows]) + "\n")
    (tmp_path / "items.csv").write_text("id,text\n" + "".join(f"i{n},article {n}\n" for n in range(17)))
    return tmp_path


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="pip install -e '.[bench]' draws pictures")
def test_a_run_prints_tables_and_bars_and_leaves_its_findings(shop: Path, tmp_path: Path):
    asked = ("--data", str(shop), "--text", "none", "--methods", "popularity", "own-frequency", "--out", str(tmp_path))
    said = run("benchmarks.learning", *asked)
    assert said.returncode == 0, said.stderr
    assert "720 events of 8 users on 17 items" in said.stdout
    line = json.loads(said.stdout.splitlines()[-1])
    assert line["benchmark"].endswith("own-frequency")  # the best one is what the bars are about
    assert line["bars"]["ndcg_over_baselines"]["met"]
    found = json.loads((tmp_path / "result.json").read_text())
    assert found["methods"]["own-frequency"]["figures"]["recall@10"]["mean"] == 1.0
    assert {row[0] for row in found["rows"]} == {"popularity", "own-frequency"}
    assert "own-frequency" in (tmp_path / "windows.svg").read_text()
    assert (tmp_path / "windows.png").stat().st_size > 10_000
    assert (tmp_path / "ranks.npz").exists()


def test_a_mistake_is_one_line(tmp_path: Path):
    said = run("benchmarks.learning", "--data", str(tmp_path / "nothing"))
    assert said.returncode == 1
    assert said.stderr.strip().splitlines()[-1].startswith("benchmarks.learning: There is no data")
