"""The reference says what the code says, and no link leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tidegate.api import create_app
from tidegate.cli import COMMANDS
from tidegate.settings import PREFIX, Settings
from tidegate.tables import metadata

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]


def rows(page: str) -> dict[str, str]:
    """Return the table rows of a page of the reference by their first cell."""
    lines = (REFERENCE / page).read_text().splitlines()
    return {found[1]: line for line in lines if (found := re.match(r"\| `([^`]+)` \|", line))}


def test_every_setting_is_described_in_its_own_words() -> None:
    described = rows("settings.md")
    assert list(described) == [PREFIX + name.upper() for name in Settings.model_fields]
    for name, field in Settings.model_fields.items():
        assert str(field.description) in described[PREFIX + name.upper()]


def test_every_command_is_described_in_its_own_words() -> None:
    described = rows("commands.md")
    for name, entry in COMMANDS.items():
        assert entry.help in described[f"tidegate {name}"]


def test_every_table_and_column_is_listed() -> None:
    described = rows("tables.md")
    assert set(described) == set(metadata.tables)
    for name, table in metadata.tables.items():
        assert re.findall(r"`(\w+)`", described[name].rsplit("|", 2)[1]) == [column.name for column in table.columns]


def test_every_route_is_listed() -> None:
    listed = (REFERENCE / "http.md").read_text()
    for path, methods in create_app().openapi()["paths"].items():
        for method in methods:
            assert f"`{method.upper()} {path}" in listed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_leads_nowhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_every_promise_names_tests_that_exist() -> None:
    promised = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "explanation" / "promises.md").read_text()))
    texts = [file.read_text() for file in (ROOT / "tests").rglob("*.py")]
    assert promised
    assert promised <= {name for text in texts for name in re.findall(r"def (test_\w+)", text)}
