"""A backtest's document as tables: what each method earned, on whom, and at what cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# Heading, figure, and how it is written.
QUALITY = (
    ("NDCG@10", "ndcg@10", "{:.4f}"),
    ("Recall@10", "recall@10", "{:.4f}"),
    ("Recall@1", "recall@1", "{:.4f}"),
    ("Recall@20", "recall@20", "{:.4f}"),
    ("MRR@20", "mrr@20", "{:.4f}"),
    ("AUC", "auc", "{:.3f}"),
    ("GAUC", "gauc", "{:.3f}"),
    ("log loss", "log_loss", "{:.3f}"),
    ("ECE", "calibration_error", "{:.3f}"),
)
PARTS = (
    ("cold items", "ndcg@10/cold-items", "{:.4f}"),
    ("AUC, cold", "full_auc/cold-items", "{:.3f}"),
    ("new users", "ndcg@10/new-users", "{:.4f}"),
    ("inactive", "ndcg@10/inactive-users", "{:.4f}"),
    ("head", "ndcg@10/head", "{:.4f}"),
    ("torso", "ndcg@10/torso", "{:.4f}"),
    ("tail", "ndcg@10/tail", "{:.4f}"),
    ("coverage", "coverage@10", "{:.2f}"),
    ("forgotten", "forgetting_5", "{:+.4f}"),
    ("base s", "base_seconds", "{:.1f}"),
    ("window s", "learning_seconds", "{:.2f}"),
    ("rows/s", "learning_rows_per_second", "{:,.0f}"),
    ("MB", "learning_peak_mb", "{:.0f}"),
)
SPREAD = ("ndcg@10", "recall@10")  # shown with their spread over seeds
MAIN = "ndcg@10"
Column = tuple[str, str, str]


def tables(document: dict[str, Any]) -> Iterator[tuple[list[str], list[list[str]], str, str]]:
    """Yield (headings, rows, title, caption) of each table, the best NDCG@10 first.

    A figure that no method has gets no column.
    """
    beside = {name: _beside(document, name) for name in best(document)}
    quality = _columns(document, QUALITY)
    rows = [[*row, beside[row[0]]] for row in _rows(document, quality)]
    headings = ["method", *(heading for heading, _, _ in quality), "against the best (95 %)"]
    yield headings, rows, title(document), ""
    parts = _columns(document, PARTS)
    subtitle = "NDCG@10 of parts of the events, and what learning a window costs"
    yield ["method", *(heading for heading, _, _ in parts)], list(_rows(document, parts)), subtitle, failures(document)
    if heads := list(_classified(document)):
        headings = ["method", "item was", "precision", "recall", "f1", "asked"]
        yield headings, heads, "What click heads said, taken from a probability of one half on", ""


def _classified(document: dict[str, Any]) -> Iterator[list[str]]:
    """Yield precision, recall and f1 of each click head, for what was taken and for what was drawn."""
    for name in best(document):
        said = document["methods"][name].get("classification") or {}
        for kind in ("taken", "drawn") if said else ():
            figures = (f"{said[kind][figure]:.3f}" for figure in ("precision", "recall", "f1-score"))
            yield [name, kind, *figures, f"{said[kind]['support']:,.0f}"]


def title(document: dict[str, Any]) -> str:
    """Return what was measured on what."""
    data, windows, reported = document["data"], document["windows"], document["reported"]
    kind = "sessions" if data["sessions"] else "users"
    return (
        f"{data['name']}: {data['events']:,} events of {data['users']:,} {kind} on {data['items']:,} items; base "
        f"{data['base_events']:,} events, {len(windows)} windows, figures from windows {reported[0]} to {reported[-1]}"
    )


def failures(document: dict[str, Any]) -> str:
    """Return which methods failed, and why."""
    return "\n  ".join(f"{method} failed: {reason}" for method, reason in document["failed"].items())


def best(document: dict[str, Any]) -> list[str]:
    """Return the methods, the best NDCG@10 first."""
    methods = document["methods"]
    return sorted(methods, key=lambda name: -methods[name]["figures"].get(MAIN, {}).get("mean", 0.0))


def _beside(document: dict[str, Any], name: str) -> str:
    """Return how a method's NDCG@10 lies beside the best one's, with the interval of the difference."""
    pair = {name, best(document)[0]}
    found = [c for c in document["comparisons"] if c["metric"] == MAIN and {c["ours"], c["theirs"]} == pair]
    if not found:
        return ""
    sign = 1 if found[0]["ours"] == name else -1
    low, high = sorted((sign * found[0]["low"], sign * found[0]["high"]))
    return f"{sign * found[0]['difference']:+.4f} ({low:+.4f} to {high:+.4f})"


def _rows(document: dict[str, Any], columns: list[Column]) -> Iterator[list[str]]:
    for name in best(document):
        yield [name, *(_written(document["methods"][name], figure, form) for _, figure, form in columns)]


def _columns(document: dict[str, Any], columns: tuple[Column, ...]) -> list[Column]:
    """Return the columns for which there is a figure."""
    known = {figure for method in document["methods"].values() for figure in method["figures"]}
    return [column for column in columns if column[1] in known]


def _written(method: dict[str, Any], figure: str, form: str) -> str:
    found = method["figures"].get(figure)
    if found is None:
        return ""
    spread = f" ±{found['spread']:.4f}" if figure in SPREAD and method["seeds"] > 1 else ""
    return form.format(found["mean"]) + spread
