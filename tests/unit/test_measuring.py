"""Benchmarks say of each figure with a bar whether it is met, and go on."""

from __future__ import annotations

import json

import pytest

from benchmarks.measuring import judge, ratio, report


@pytest.mark.parametrize(
    ("value", "bar", "met"),
    [(1.5, "<= 1.5", True), (1.6, "<= 1.5", False), (0.8, ">= 0.8", True), (0.79, ">= 0.8", False)],
)
def test_a_figure_is_judged_by_its_bar(value: float, bar: str, met: bool) -> None:
    assert judge(value, bar) == {"bar": bar, "value": value, "met": met}


def test_a_missed_bar_is_printed_as_missed_and_the_json_line_is_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    report("reading", {"ratio": 1.9, "milliseconds": 3.0}, {"ratio": "<= 1.5"})
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["ratio", "1.9", "MISSED:", "<=", "1.5"], ["milliseconds", "3.0"]]
    assert json.loads(last) == {
        "benchmark": "reading",
        "figures": {"ratio": 1.9, "milliseconds": 3.0},
        "bars": {"ratio": {"bar": "<= 1.5", "value": 1.9, "met": False}},
    }


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    assert ratio({"ours": [2.0, 3.0, 40.0], "theirs": [1.0, 1.0, 1.0]}, "ours", "theirs") == 3.0
