"""The how-tos of Feast, executed as they stand."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.activity import Event, insert, make_window
from tests.support.feast_worlds import reached
from tests.support.learning import add_items, deploy_version
from tests.support.processes import tidegate
from tidegate import feature_store
from tidegate.postgres import Database
from tidegate.postgres.database import render_url
from tidegate.postgres.variables import feast_variables
from tidegate.settings import get_settings

ROOT = Path(__file__).resolve().parents[2]
HOW_TO = ROOT / "docs" / "how-to"
CONNECTION = "{host: localhost, database: shop, user: feast, password: secret}"
REGISTRY = "postgresql+psycopg://feast:secret@localhost/shop"


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of a how-to that are in a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```", (HOW_TO / page).read_text(), re.DOTALL | re.MULTILINE)


def test_the_python_and_sql_of_use_from_feast_run(
    store_database: Database, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TIDEGATE_DATABASE_URL": store_database.conninfo, **feast_variables(store_database)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(ROOT)
    get_settings.cache_clear()
    insert(writer, [Event("household-1228", "tea", "purchase", 4.5, datetime(2017, 9, 1, tzinfo=UTC))])
    make_window(writer)
    add_items(writer, "product-995242", "product-1082185")
    deploy_version(writer, {"product-995242": [1, 0]}, {"ann": [1, 0]})

    names: dict[str, Any] = {}
    for block in blocks("use-from-feast.md", "python"):
        exec(compile(block, "use-from-feast.md", "exec"), names)
    for block in blocks("use-from-feast.md", "sql"):
        writer.execute(block.encode())

    asked = names["moments"].assign(row=range(2))
    found = names["store"].get_historical_features(asked, ["user_activity:n_purchase"]).to_df().sort_values("row")
    assert found["n_purchase"].fillna(0).tolist() == [0, 1]
    feature_store._disconnect(names["store"])
    get_settings.cache_clear()


@pytest.mark.long  # a wheel is built, and several processes import Feast
@pytest.mark.timeout(600)
def test_a_project_of_somebody_else_runs_on_our_wheel_alone(empty_database: Database, tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    installed, shop = tmp_path / "installed", tmp_path / "shop"
    shop.mkdir()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("tidegate-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", installed, wheel], check=True)

    write_shop(shop, empty_database)
    with empty_database.connect(autocommit=True) as connection:
        connection.execute(blocks("use-the-feast-stores.md", "sql")[0].encode())
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {"PATH": path, "PYTHONPATH": str(installed), "HOME": str(tmp_path), "FEAST_USAGE": "False"}
        commands = blocks("use-the-feast-stores.md", "sh")[1]
        subprocess.run(["bash", "-ec", commands], cwd=shop, env=environment, check=True)
        done = subprocess.run([sys.executable, "asks.py"], cwd=shop, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        first, pushed, *_, where = done.stdout.splitlines()
        assert first == "{'user_id': [1], 'visits': [2], 'spend': [9.0]}"
        assert pushed == "{'user_id': [1], 'visits': [3], 'spend': [12.0]}"
        assert where.startswith(str(installed))
        rows = connection.execute("select visits from user_history order by event_timestamp").fetchall()
    assert rows == [(1,), (2,), (3,)], "pushed offline too"


def write_shop(folder: Path, database: Database) -> None:
    """Write the project of the how-to, on another database, and a script of what it asks."""
    settings, *_ = blocks("use-the-feast-stores.md", "yaml")
    assert CONNECTION in settings
    assert REGISTRY in settings
    settings = settings.replace(CONNECTION, json.dumps(reached(database)))
    settings = settings.replace(REGISTRY, render_url(database.parameters, "postgresql+psycopg"))
    (folder / "feature_store.yaml").write_text(settings)
    definitions, *asking = blocks("use-the-feast-stores.md", "python")
    (folder / "definitions.py").write_text(definitions)
    (folder / ".feastignore").write_text("asks.py\n")
    (folder / "asks.py").write_text("\n".join([*asking, "import tidegate", "print(tidegate.__file__)"]))


def test_the_commands_of_use_from_feast_exist(store_database: Database) -> None:
    environment = os.environ | {"TIDEGATE_DATABASE_URL": store_database.conninfo}
    lines = [line for block in blocks("use-from-feast.md", "sh") for line in block.splitlines()]
    ours = {line.split()[1] for line in lines if line.startswith("tidegate ")}
    assert ours == {"feast", "feature-server", "features"}
    (asked,) = [line.split()[1:] for line in lines if line.startswith("tidegate features")]
    told = tidegate(*asked, environment=environment)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout) == {"user_id": "ann", "at": "2026-11-24T12:00:00+00:00", "features": None}
