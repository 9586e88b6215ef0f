"""Facts about the name of the code that trains."""

from pathlib import Path

import models
from workers.manifest import COMPARING, training_files


def test_every_module_that_decides_what_weights_come_out_is_named():
    assert models.__file__ is not None
    folder = Path(models.__file__).parent
    named = [name for name, _ in training_files()]
    expected = [
        f.relative_to(folder.parent) for f in folder.rglob("*.py") if f.relative_to(folder).parts[0] not in COMPARING
    ]
    assert {name for name in named if name.startswith("models/")} == {path.as_posix() for path in expected}
    assert {"models/methods/rules.py", "models/training.py", "workers/increment.py"} <= set(named)
    assert len(named) == len(set(named))


def test_code_that_only_compares_names_no_other_weights():
    assert not [name for name, _ in training_files() if name.startswith(("models/backtest", "models/baselines"))]
