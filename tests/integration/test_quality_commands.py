"""`tidegate rules` and `tidegate quarantine`, as an operator types them."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from tests.support.events import VIEW, accepted, insert, reasons
from tests.support.processes import Command, tidegate


def test_a_rule_lives_from_add_to_remove(run: Command, connection: psycopg.Connection[Any]) -> None:
    insert(connection, VIEW | {"value": 7.0}, VIEW | {"value": 700.0})
    run("rules", "add", "too dear", "range", "field=value", "highest=100", "enabled=false")
    assert json.loads(run("rules", "test", "too dear", "--json"))["broken"] == 1
    assert "1 of the newest 2 events" in run("rules", "test", "too dear")
    run("rules", "set", "too dear", "enabled=true", "event_type=view")
    insert(connection, VIEW | {"value": 700.0})
    assert reasons(connection) == ["too dear"]
    [_, rule] = json.loads(run("rules", "list", "--json"))
    assert (rule["name"], rule["highest"], rule["quarantined"], rule["enabled"]) == ("too dear", 100.0, 1, True)
    shown = run("rules", "list")
    for fact in ("occurred_at lies in the future", "value is at most 100", "view"):
        assert fact in shown
    assert "redrive" in run("rules", "remove", "too dear")
    insert(connection, VIEW | {"value": 700.0})
    assert reasons(connection) == ["too dear"]


def test_allowed_values_are_named_with_commas_and_a_value_is_taken_away_with_nothing(
    run: Command, connection: psycopg.Connection[Any]
) -> None:
    run("rules", "add", "odd device", "allowed", "field=context.device", "allowed=phone,tablet", "stream=shop")
    run("rules", "set", "odd device", "stream=")
    insert(connection, VIEW | {"context": {"device": "tablet"}}, VIEW | {"context": {"device": "toaster"}})
    assert reasons(connection) == ["odd device"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "mine", "mood"), "kind is known"),
        (("add", "mine", "range", "field=value"), "range has finite bounds"),
        (("add", "mine", "range", "field=value", "lowest=much"), "much"),
        (("add", "mine", "expression", "expression=value <"), "syntax error"),
        (("add", "mine", "range", "height=7"), "lowest"),
        (("add", "occurred_at lies in the future", "future", "seconds=5"), "tidegate rules set"),
        (("set", "nothing", "enabled=true"), "tidegate rules list"),
        (("set", "occurred_at lies in the future"), "nothing to change"),
        (("remove", "nothing"), "tidegate rules list"),
        (("test", "nothing"), "tidegate rules list"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(refuse: Command, words: tuple[str, ...], said: str) -> None:
    shown = refuse("rules", *words)
    assert said in shown
    assert shown.count("\n") == 1


@pytest.fixture
def two_bad(connection: psycopg.Connection[Any]) -> list[int]:
    """One event for a stream that is made later, one that no rule will ever pass; their ids."""
    insert(connection, VIEW | {"stream": "shop"}, VIEW | {"stream": "", "event_type": "stare"} | {"stream": "shop"})
    insert(connection, VIEW | {"value": "dear"}, table="raw_events")
    connection.execute("insert into learning.streams (stream) values ('shop')")
    return [
        quarantine_id
        for (quarantine_id,) in connection.execute(
            "select quarantine_id from ingest.quarantined_events order by quarantine_id"
        )
    ]


def test_explain_shows_the_event_what_it_breaks_and_how_it_goes_in(run: Command, two_bad: list[int]) -> None:
    shown = run("quarantine", "explain", str(two_bad[2]))
    for fact in ("dear", "value is not a number", "a value that the column can take", "ingest.redrive"):
        assert fact in shown
    found = json.loads(run("quarantine", "explain", str(two_bad[1]), "--json"))
    assert [broken["given"] for broken in found["broken"]] == ["stare"]
    assert "would pass" in run("quarantine", "explain", str(two_bad[0]))


def test_redrive_shows_a_plan_asks_and_does_it(
    run: Command, environment: dict[str, str], connection: psycopg.Connection[Any], two_bad: list[int]
) -> None:
    asked = tidegate("quarantine", "redrive", "--all", environment=environment, input="n\n")
    assert asked.returncode == 1
    assert "1  would pass" in asked.stdout
    assert "would stay: event_type must be" in asked.stdout
    assert accepted(connection) == 0
    done = json.loads(run("quarantine", "redrive", "--all", "--yes", "--json"))
    assert (done["passed"], done["repeats"], sum(done["refused"].values())) == (1, 0, 2)
    assert accepted(connection) == 1
    assert str(two_bad[0]) not in [str(row["quarantine_id"]) for row in listed(run)]
    assert str(two_bad[0]) in [str(row["quarantine_id"]) for row in listed(run, "--redriven")]
    assert "passed since: event" in run("quarantine", "explain", str(two_bad[0]))


def listed(run: Command, *options: str) -> list[dict[str, Any]]:
    """Return what `quarantine list` names."""
    return json.loads(run("quarantine", "list", "--json", *options))["newest"]  # type: ignore[no-any-return]


def test_redrive_takes_ids_or_a_reason(run: Command, two_bad: list[int]) -> None:
    assert "1  stay in quarantine" in run("quarantine", "redrive", "--reason", "event_type", "--yes")
    assert "1  passed" in run("quarantine", "redrive", str(two_bad[0]), str(two_bad[2]), "--yes")


def test_redrive_wants_to_be_told_what(refuse: Command) -> None:
    assert "--reason, or --all" in refuse("quarantine", "redrive")
    assert "tidegate quarantine list" in refuse("quarantine", "explain", "7")
