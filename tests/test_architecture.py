"""The arrows between the parts, as tests. They are drawn in pyproject.toml, above the contracts."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GENERIC_NAMES = ("models", "workers", "migrations", "feature_repo")
HEAVY = ("torch", "transformers", "celery", "kombu", "feast")


def test_the_import_contracts_hold():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()"]
    done = subprocess.run([*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", GENERIC_NAMES)
def test_a_generic_name_is_ours(name: str):
    spec = find_spec(name)
    assert spec is not None
    assert [Path(place) for place in spec.submodule_search_locations or ()] == [ROOT / name]


def test_no_other_distribution_owns_our_generic_names():
    owners = {
        (distribution.name, file.parts[0])
        for distribution in distributions()
        if distribution.name != "tidegate"
        for file in distribution.files or ()
        if file.parts[0] in GENERIC_NAMES
    }
    assert owners == set()


@pytest.mark.parametrize("module", ["tidegate", "tidegate.cli", "tidegate.doctor", "tidegate.api"])
def test_serving_and_operating_load_neither_torch_nor_celery_nor_feast(module: str):
    if find_spec(module) is None:
        pytest.skip(f"there is no {module}")
    assert loaded_by(module) & set(HEAVY) == set()


def test_the_parent_of_a_trainer_never_imports_torch():
    """CUDA and a parent that has touched it do not mix: the trainer is a spawned child."""
    assert "torch" not in loaded_by("workers.app")


def test_importing_the_workers_starts_no_database(tmp_path: Path):
    subprocess.run([sys.executable, "-c", "import workers.windows, workers.increments, workers.keeper"], check=True)
    assert list(tmp_path.iterdir()) == []  # the fixture's current folder


def test_nothing_imports_tests():
    folders = ("src", "models", "workers", "migrations", "feature_repo")
    sources = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    guilty = [file for file in sources if "from tests" in file.read_text() or "import tests" in file.read_text()]
    assert guilty == []


def test_no_file_is_longer_than_500_lines():
    folders = ("src", "models", "workers", "migrations", "feature_repo", "tests")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    assert [str(file) for file in files if len(file.read_text().splitlines()) > 500] == []


def loaded_by(module: str) -> set[str]:
    """Return the top-level packages that importing `module` brings into a fresh process."""
    code = f"import sys, {module}; print(' '.join({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())
