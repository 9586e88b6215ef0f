"""What each setting of the learner is worth: `python -m benchmarks.learning.ablations --data ml-100k`.

One method, and the same method with one thing switched on, off or exchanged. Only the first half of the windows is
looked at: what is decided by these figures is reported on the second half, by `python -m benchmarks.learning`.
Variants whose first version is the same share it, as in a contest.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.learning import data
from models.backtest.bootstrap import Difference, difference, drawn_means
from models.backtest.figures import MAIN, Run, gains
from models.backtest.log import EventLog
from models.backtest.prequential import Bases, Window, replay
from models.backtest.registry import MethodSettings, make
from tidegate.cli.shown import say_table

PLAIN = "as it is"
# Increments alone: the first version is that of the plain method.
INCREMENTS: dict[str, dict[str, Any]] = {
    "no dropout": {"dropout": 0.0},
    "more dropout": {"dropout": 0.4},
    "two epochs": {"epochs": 2},
    "four epochs": {"epochs": 4},
    "small steps": {"rate": 1e-4},
    "large steps": {"rate": 1e-3},
    "early stopping": {"patience": 1},
    "history at half weight": {"history_weight": 0.5},
    "as much replay as window": {"replay_share": 1.0},
    "no replay": {"replay": "nothing"},
    "parent on new rows": {"distil_new": 0.5},
    "parent on replayed rows": {"distil_replay": 0.5},
    "elastic weights": {"ewc": 100.0},
    "anchor": {"anchor": 0.1},
    "half of the parent": {"interpolate": 0.5},
}
# From the first version on.
WHOLE: dict[str, dict[str, Any]] = {
    "no weight decay": {"weight_decay": 0.0},
    "more weight decay": {"weight_decay": 0.1},
    "label smoothing": {"label_smoothing": 0.1},
    "loss clipped at 10 nats": {"loss_clip": 10.0},
    "doubt": {"doubt": 0.1},
    "fgm": {"adversary": "fgm"},
    "pgd": {"adversary": "pgd"},
    "no early stopping": {"first_patience": 0},
    "average of the steps": {"ema": 0.95},
    "sampled softmax": {"loss": "sampled-softmax"},
    "gbce": {"loss": "gbce"},
    "bce": {"loss": "bce"},
    "adam": {"optimiser": "adam"},
    "adagrad": {"optimiser": "adagrad", "first_rate": 3e-2, "rate": 1e-2},
    "sgd": {"optimiser": "sgd", "first_rate": 0.3, "rate": 0.1},
    "solved head": {"optimiser": "sdca"},
    "two batches a step": {"accumulate": 2},
    "few large batches": {"batch_targets": 0, "first_steps": 200},
}
VARIANTS = {PLAIN: {}, **INCREMENTS, **WHOLE}


def main() -> None:
    """Run the variants and print what each is worth beside the plain method."""
    asked = arguments().parse_args()
    console = Console(stderr=True)
    log, windows = data.load(data.Asked(asked.data, text=asked.text), console.print)
    windows = windows[: len(windows) // 2]
    found: dict[str, np.ndarray] = {}
    seconds: dict[str, float] = {}
    bases: Bases = {}
    for name in dict.fromkeys([PLAIN, *(asked.variants or VARIANTS)]):
        runs = [run(asked.method, log, windows, seed, VARIANTS[name], bases) for seed in range(asked.seeds)]
        found[name] = np.mean([gain for gain, _ in runs], axis=0)
        seconds[name] = float(np.mean([cost for _, cost in runs]))
        console.print(f"{name}: {MAIN} {found[name].mean():.4f}, {seconds[name]:.1f} s a window")
    user = log.user[np.arange(windows[0].start, windows[-1].stop)]
    shown = beside(found, user)
    say_table(
        ("variant", MAIN, "more than as it is", "from", "to", "s a window"),
        [
            (n, f"{d.ours:.4f}", f"{d.mean:+.4f}", f"{d.low:+.4f}", f"{d.high:+.4f}", f"{seconds[n]:.1f}")
            for n, d in shown
        ],
        f"{asked.method} on {asked.data}, windows 1 to {len(windows)}, {asked.seeds} seeds",
    )


def arguments() -> argparse.ArgumentParser:
    """Return what the command line understands."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning.ablations", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("--data", default="ml-100k", help=f"{', '.join(data.PACKAGED)}, a file of events or a folder")
    add("--text", default="minilm", help="minilm, none, or the folder of a checkpoint; default: minilm")
    add("--method", default="replay-inactive")
    add("--variants", nargs="+", metavar="VARIANT", choices=list(VARIANTS), help="default: all")
    add("--seeds", type=int, default=1)
    return parser


def run(
    method: str, log: EventLog, windows: tuple[Window, ...], seed: int, options: dict[str, Any], bases: Bases
) -> tuple[np.ndarray, float]:
    """Return what each event of the windows earned, in the order of the log, and the seconds of a window."""
    *_, course = replay(make(method, MethodSettings(seed, options)), log, windows, look_back=False, bases=bases)
    event, rank, alive = Run(method, seed, course).ranks([window.number for window in windows])
    order = np.argsort(event)
    return gains(rank, alive)[MAIN][order], float(np.mean([judged.learning.seconds for judged in course.judged]))


def row(name: str, compared: Difference, seconds: float) -> tuple[str, ...]:
    """Return a row of the table."""
    worth = (f"{value:+.4f}" for value in (compared.mean, compared.low, compared.high))
    return name, f"{compared.ours:.4f}", *worth, f"{seconds:.1f}"


def beside(found: dict[str, np.ndarray], user: np.ndarray) -> list[tuple[str, Difference]]:
    """Return how much more each variant earns than the plain method, whole users drawn, the best first."""
    earned = np.stack(list(found.values()))
    means, plain = drawn_means(earned, user), list(found).index(PLAIN)
    compared = {name: difference(earned, means, number, plain) for number, name in enumerate(found)}
    return sorted(compared.items(), key=lambda item: -item[1].ours)


if __name__ == "__main__":
    main()
