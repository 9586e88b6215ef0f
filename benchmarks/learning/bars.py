"""The bars: what learning has to earn, each as a ratio within one run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

BASELINES = "baseline"  # the kind of a method that is no neural network
CLASSIC = ("item-knn", "ease", "ials", "v-sknn")
FINE_TUNED = "sasrec-fine-tune"
FULL_RETRAIN = "full-retrain"
POPULARITY = "popularity"
SESSIONS = ("ader", "v-sknn")

BARS = {
    "ndcg_over_classic": ">= 1.20",
    "recall_over_classic": ">= 1.20",
    "ndcg_over_sasrec": ">= 1.05",
    "recall_over_sasrec": ">= 1.05",
    "ndcg_over_baselines": ">= 1.10",
    "recall_over_baselines": ">= 1.10",
    "ndcg_over_ader": ">= 1.00",
    "ndcg_over_v-sknn": ">= 1.00",
    "ndcg_of_full_retrain": ">= 0.99",
    "seconds_of_full_retrain": "<= 0.10",
    "cold_over_popularity": ">= 1.0001",
}


def figures(document: dict[str, Any], ours: str) -> dict[str, float]:
    """Return the figures of our method against the others of its run; what did not run gives none."""
    methods = document["methods"]
    if ours not in methods:
        return {}
    found: dict[str, float | None] = {f"{metric}": mean(methods, ours, f"{metric}@10") for metric in ("ndcg", "recall")}
    for metric in ("ndcg", "recall"):
        figure = f"{metric}@10"
        found[f"{metric}_over_baselines"] = over(methods, ours, of_kind(methods, BASELINES), figure)
        if document["data"]["sessions"]:
            found |= {f"{metric}_over_{name}": over(methods, ours, (name,), figure) for name in SESSIONS}
        elif not document["data"]["repeats"]:
            found[f"{metric}_over_classic"] = over(methods, ours, CLASSIC, figure)
            found[f"{metric}_over_sasrec"] = over(methods, ours, (FINE_TUNED,), figure)
    if ours != FULL_RETRAIN:
        found["ndcg_of_full_retrain"] = over(methods, ours, (FULL_RETRAIN,), "ndcg@10")
        found["seconds_of_full_retrain"] = over(methods, ours, (FULL_RETRAIN,), "learning_cpu_seconds")
    # By the full AUC: 300 events of 1,700 items seldom reach anybody's first ten.
    found["cold_over_popularity"] = over(methods, ours, (POPULARITY,), "full_auc/cold-items")
    return {name: round(value, 4) for name, value in found.items() if value is not None}


def bars(document: dict[str, Any], found: dict[str, float]) -> dict[str, str]:
    """Return the bars that stand for this data: on the classic ones where nothing repeats, else on all baselines."""
    left_out = set() if document["data"]["repeats"] and not document["data"]["sessions"] else {"baselines"}
    return {name: bar for name, bar in BARS.items() if name in found and name.partition("_over_")[2] not in left_out}


def of_kind(methods: dict[str, Any], kind: str) -> list[str]:
    """Return the methods of a kind."""
    return [name for name, method in methods.items() if method["kind"] == kind]


def over(methods: dict[str, Any], ours: str, others: Iterable[str], figure: str) -> float | None:
    """Return ours over the best of the others that ran; nothing where none did."""
    own = mean(methods, ours, figure)
    found = [value for name in others if name != ours and (value := mean(methods, name, figure)) is not None]
    return own / max(found) if own is not None and found and max(found) > 0 else None


def mean(methods: dict[str, Any], name: str, figure: str) -> float | None:
    """Return a figure's mean over seeds; nothing where the method did not run."""
    found = methods.get(name, {}).get("figures", {}).get(figure)
    return None if found is None else float(found["mean"])
