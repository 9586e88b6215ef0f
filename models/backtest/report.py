"""A contest as one document of plain values, for tables, plots, files and programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.backtest import answers
from models.backtest.bootstrap import Difference
from models.backtest.contest import Contest
from models.backtest.registry import entry

FORMAT = 1
DRAWN = ("ndcg@10", "recall@10")  # given for each window
# What is compared: a metric, and the segment that it is of.
COMPARED = (("ndcg@10", None), ("recall@10", None), ("full_auc", "cold-items"))


def document(contest: Contest, name: str) -> dict[str, Any]:
    """Return everything that a contest brought; means are over seeds, `spread` is their standard deviation."""
    rows = [row for run in contest.runs for row in run.rows(contest.parts)]
    return {
        "format": FORMAT,
        "data": _data(contest, name),
        "windows": [
            {"number": w.number, "since": w.since, "until": w.until, "events": w.stop - w.start}
            for w in contest.windows
        ],
        "chosen_on": contest.chosen_on,
        "reported": contest.reported,
        "methods": {method: _method(contest, method) for method in contest.methods},
        "failed": contest.failed,
        "tried": [{"method": t.method, "options": t.options, "ndcg@10": t.gain} for t in contest.tried],
        "comparisons": _comparisons(contest),
        "rows": [[row.method, row.seed, row.window, row.metric, row.value] for row in rows],
    }


def _data(contest: Contest, name: str) -> dict[str, Any]:
    log = contest.log
    return {
        "name": name,
        "events": len(log),
        "base_events": contest.windows[0].start,
        "users": len(np.unique(log.user)),
        "items": len(log.catalogue),
        "with_text": sum(bool(text) for text in log.about.texts),
        "repeats": log.repeats,
        "sessions": log.sessions,
    }


def _method(contest: Contest, method: str) -> dict[str, Any]:
    summaries = contest.summaries(method)
    names = list(dict.fromkeys(name for summary in summaries for name in summary))
    values = {name: [summary[name] for summary in summaries if name in summary] for name in names}
    return {
        "about": entry(method).about,
        "kind": entry(method).kind,
        "options": contest.options[method],
        "seeds": len(summaries),
        "figures": {
            name: {"mean": float(np.mean(v)), "spread": float(np.std(v, ddof=1)) if len(v) > 1 else 0.0}
            for name, v in values.items()
        },
        "classification": _classification(contest, method),
        "by_window": {metric: _by_window(contest, method, metric) for metric in DRAWN},
    }


def _classification(contest: Contest, method: str) -> dict[str, Any] | None:
    """Return what became of the click head's answers in the reported windows, all seeds; None without such a head."""
    said = [j.said for run in contest.of(method) for j in run.over(contest.reported) if j.said]
    return answers.classification(answers.together(said)) if said else None


def _by_window(contest: Contest, method: str, metric: str) -> list[float | None]:
    """Return the mean over seeds for each window; nothing for a window in which nothing happened."""
    found: dict[int, list[float]] = {}
    for run in contest.of(method):
        for row in run.rows({}):
            if row.metric == metric:
                found.setdefault(row.window, []).append(row.value)
    return [float(np.mean(found[w.number])) if w.number in found else None for w in contest.windows]


def _comparisons(contest: Contest) -> list[dict[str, Any]]:
    found = []
    for metric, segment in COMPARED:
        name = f"{metric}/{segment}" if segment else metric
        found += compared(name, contest.differences(metric, segment))
    return found


def compared(metric: str, differences: Mapping[tuple[str, str], Difference]) -> list[dict[str, Any]]:
    """Return every two methods once, the better one first."""
    return [
        _comparison(metric, ours, theirs, found)
        for (ours, theirs), found in differences.items()
        if found.mean > 0 or (found.mean == 0 and ours < theirs)
    ]


def _comparison(metric: str, ours: str, theirs: str, found: Difference) -> dict[str, Any]:
    return {
        "metric": metric,
        "ours": ours,
        "theirs": theirs,
        "difference": found.mean,
        "low": found.low,
        "high": found.high,
        "ratio": found.ratio if found.theirs else None,
        "ratio_low": found.least if found.theirs else None,
        "ratio_high": found.most if found.theirs else None,
        "sure": found.sure,
    }
