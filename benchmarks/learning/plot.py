"""The picture: a metric over the windows, one line a method, named where it ends.

A few methods have a colour; the others are the grey behind them. The dashes tell the lines apart where there is no
colour at all.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from tidegate.backtests import best

# Dark enough on white, and of different lightness, so that a grey print keeps them apart (Okabe and Ito 2008).
STYLES = (("#0b3c5d", "-"), ("#d1495b", "--"), ("#3a7d44", "-."), ("#c98a00", (0, (1, 1))))
GREY, INK = "#b8bec4", "#333333"
HALF = "#f3f5f7"
NAMES = {"ndcg@10": "NDCG@10", "recall@10": "Recall@10"}


def draw(document: dict[str, Any], path: Path, metric: str = "ndcg@10", coloured: list[str] | None = None) -> None:
    """Write the picture as SVG or PNG, by the extension of `path`.

    Without `coloured`, the best method of each kind and the best of the rest have a colour.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    matplotlib.rcParams |= {"svg.hashsalt": "tidegate", "font.family": "DejaVu Sans", "font.size": 10}
    figure, axes = pyplot.subplots(figsize=(10, 5.2), layout="constrained")
    numbers = [window["number"] for window in document["windows"]]
    axes.axvspan(document["reported"][0] - 0.5, numbers[-1] + 0.5, color=HALF, zorder=0)
    chosen = coloured or chosen_of(document)
    lines = {name: series(document, name, metric) for name in reversed(best(document))}
    for name, values in lines.items():
        colour, dash = STYLES[chosen.index(name)] if name in chosen else (GREY, "-")
        strong = name in chosen
        axes.plot(numbers, values, color=colour, linestyle=dash, linewidth=2.2 if strong else 1.0, zorder=2 + strong)
    label(axes, {name: lines[name] for name in best(document)}, numbers, chosen)
    dress(axes, document, metric)
    figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)


def chosen_of(document: dict[str, Any]) -> list[str]:
    """Return the best method of each kind, and then the best of the rest, as many as there are styles."""
    order = best(document)
    kinds = [document["methods"][name]["kind"] for name in order]
    heads = [order[kinds.index(kind)] for kind in dict.fromkeys(kinds)]
    return [*heads, *(name for name in order if name not in heads)][: len(STYLES)]


def series(document: dict[str, Any], name: str, metric: str) -> np.ndarray:
    """Return a method's values (W,), NaN for a window in which nothing happened."""
    return np.array(document["methods"][name]["by_window"][metric], dtype=np.float64)


def label(axes: Any, lines: dict[str, np.ndarray], numbers: list[int], chosen: list[str]) -> None:
    """Name the lines at their right ends, pushed apart where they end close together."""
    low, high = axes.get_ylim()
    ends = {name: values[np.isfinite(values)][-1] for name, values in lines.items() if np.isfinite(values).any()}
    names = sorted(ends, key=lambda name: ends[name])
    places = apart([float(ends[name]) for name in names], (high - low) / 26, high)
    for name, place in zip(names, places, strict=True):
        colour = STYLES[chosen.index(name)][0] if name in chosen else "#7a828a"
        weight = "bold" if name in chosen else "normal"
        edge = numbers[-1]
        axes.plot([edge + 0.04, edge + 0.3], [ends[name], place], color=colour, linewidth=0.6, clip_on=False)
        axes.annotate(
            name,
            (edge + 0.34, place),
            color=colour,
            fontweight=weight,
            fontsize=8.5,
            va="center",
            annotation_clip=False,
        )


def apart(values: list[float], least: float, top: float) -> list[float]:
    """Return increasing places near increasing `values`, none closer than `least` to the next one, none above `top`."""
    places: list[float] = []
    for value in values:
        places.append(value if not places else max(value, places[-1] + least))
    for number in range(len(places) - 1, -1, -1):
        limit = top if number == len(places) - 1 else places[number + 1] - least
        places[number] = min(places[number], limit)
    return places


def dress(axes: Any, document: dict[str, Any], metric: str) -> None:
    """Write titles and axes; draw no line that says nothing."""
    data, windows = document["data"], document["windows"]
    axes.set_title(f"{NAMES.get(metric, metric)}, {data['name']}", loc="left", fontweight="bold", color=INK)
    axes.set_xticks([w["number"] for w in windows], [f"{w['number']}\n{w['events']:,}" for w in windows], color=INK)
    first, last = (datetime.fromtimestamp(at, UTC) for at in (windows[0]["since"], windows[-1]["until"]))
    span = "" if first.year < 1980 else f", {first:%Y-%m-%d} to {last:%Y-%m-%d}"
    axes.set_xlabel(
        f"window and its events{span}; choices are made on the left, figures come from the shaded half", color=INK
    )
    axes.set_xlim(0.6, len(windows) + 0.1)
    axes.tick_params(length=0, colors=INK)
    axes.grid(axis="y", color="#e3e6e9", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
