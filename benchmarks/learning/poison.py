"""Three poisoned windows in one stream: does a bad version go live, and does the stream recover?

`python -m benchmarks.learning.poison --data ml-100k --method NAME`. The same method runs behind the gate twice, on the
stream as it was and with poison in three windows. A version is bad when, on the clean window that follows, users would
have been served better by the version before it, beyond doubt. The stream has recovered when the version that has
learned one clean window after the poison ranks the next as well as if there had been none.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.learning.data import Asked, load
from benchmarks.learning.gated import Gated
from benchmarks.measuring import report
from models.backtest.bootstrap import difference, drawn_means
from models.backtest.log import EventLog
from models.backtest.prequential import Ranks, Window, cut_at, judge, rank_window
from models.backtest.registry import MethodSettings, make
from models.errors import ModelError
from models.evaluation import earned
from tidegate.cli.shown import say_table
from tidegate.errors import TidegateError

BOT = "a bot"
BOT_SHARE = 0.4
BOT_ITEMS = 20  # what it pushes
EVERY = 3  # windows from one poison to the next: one to recover in, one to see it
FIRST = 1  # the window that is poisoned first, 0 being the stream's first
METRIC = "ndcg@10"


def shuffled(log: EventLog, window: Window, random: np.random.Generator) -> EventLog:
    """Give the window's events each other's items: nobody took what it says."""
    item = log.item.copy()
    random.shuffle(item[window.start : window.stop])
    return replace(log, item=item)


def flipped(log: EventLog, window: Window, random: np.random.Generator) -> EventLog:
    """Turn popularity round: the events of the most popular item become those of the least popular one, and so on."""
    alive = log.alive_at(window.since)
    order = np.argsort(-np.bincount(log.item[: window.start], minlength=alive)[:alive], kind="stable")
    other = np.arange(len(log.catalogue))
    other[order] = order[::-1]
    item = log.item.copy()
    item[window.start : window.stop] = other[item[window.start : window.stop]]
    return replace(log, item=item)


def botted(log: EventLog, window: Window, random: np.random.Generator) -> EventLog:
    """Add a user who does BOT_SHARE of all that happens in the window, always with the same few items."""
    n = round((window.stop - window.start) * BOT_SHARE / (1 - BOT_SHARE))
    pushed = random.choice(log.alive_at(window.since), BOT_ITEMS, replace=False)
    place = np.sort(random.integers(window.start, window.stop, size=n))  # just after an event, at its time
    return replace(
        log,
        users=(*log.users, BOT),
        user=np.insert(log.user, place + 1, len(log.users)).astype(np.int32),
        item=np.insert(log.item, place + 1, random.choice(pushed, n)).astype(np.int32),
        type=np.insert(log.type, place + 1, log.type[place]),
        time=np.insert(log.time, place + 1, log.time[place]),
        value=np.insert(log.value, place + 1, log.value[place]),
    )


POISONS: dict[str, Callable[[EventLog, Window, np.random.Generator], EventLog]] = {
    "shuffled items": shuffled,
    "a bot": botted,
    "popularity flip": flipped,
}


@dataclass(frozen=True)
class Poisoned:
    """Hold what became of a poisoned window."""

    poison: str
    window: int
    unusual: tuple[str, ...]
    tightened: bool
    verdict: str
    reason: str
    served: float  # NDCG@10 on the clean window that follows, by what is live after the poison
    instead: float  # by what was live before it
    low: float  # ends of the interval of the difference
    high: float
    recovered: float  # NDCG@10 on the window after that, over what it would have been without poison

    @property
    def bad(self) -> bool:
        """Tell whether a bad version went live."""
        return self.verdict == "promote" and self.high < 0


def poisoned(log: EventLog, windows: Sequence[Window], seed: int = 0) -> tuple[EventLog, tuple[Window, ...], list[int]]:
    """Return the log with poison in three windows, its windows, and which of them (0 = the first) have it."""
    places = [FIRST + EVERY * number for number in range(len(POISONS))]
    edges = [windows[0].since, *(window.until for window in windows)]
    random = np.random.default_rng(seed)
    for place, poison in zip(places, POISONS.values(), strict=True):
        log = poison(log, cut_at(log, edges)[place], random)
    return log, cut_at(log, edges), places


def course(
    gated: Gated, log: EventLog, windows: Sequence[Window], say: Callable[[str], None]
) -> Iterator[tuple[Ranks, Ranks]]:
    """Yield the ranks of each window by what is live, and by what was live until the last promotion."""
    gated.learn(log.before(windows[0].start), 0)
    for window in windows:
        instead = rank_window(gated.before or gated.live, log, window)
        ranks = judge(gated, log, window).ranks
        say(f"window {window.number}: {gated.judgements[-1].verdict.verdict}, {gated.judgements[-1].verdict.reason}")
        yield ranks, instead


def scenario(
    method: Callable[[], Any], log: EventLog, windows: Sequence[Window], say: Callable[[str], None] = lambda _: None
) -> list[Poisoned]:
    """Return what became of each poisoned window."""
    say("the stream as it was")
    clean = [ranks for ranks, _ in course(Gated(method()), log, windows, say)]
    say("with poison")
    bad_log, bad_windows, places = poisoned(log, windows)
    gated = Gated(method())
    found = list(course(gated, bad_log, bad_windows, say))
    return [outcome(poison, place, gated, bad_log, found, clean) for poison, place in zip(POISONS, places, strict=True)]


def outcome(
    poison: str, place: int, gated: Gated, log: EventLog, found: list[tuple[Ranks, Ranks]], clean: list[Ranks]
) -> Poisoned:
    """Return what became of the poisoned window at `place`."""
    after, before = found[place + 1]
    gains = np.stack([earned(after.rank)[METRIC], earned(before.rank)[METRIC]])
    user = log.user[after.event]
    beside = difference(gains, drawn_means(gains, user), 0, 1)
    judgement = gated.judgements[place]
    ours, without = (earned(ranks.rank)[METRIC].mean() for ranks in (found[place + 2][0], clean[place + 2]))
    return Poisoned(
        poison=poison,
        window=place + 1,
        unusual=judgement.unusual,
        tightened=judgement.tightened,
        verdict=judgement.verdict.verdict,
        reason=judgement.verdict.reason,
        served=beside.ours,
        instead=beside.theirs,
        low=beside.low,
        high=beside.high,
        recovered=float(ours / without),
    )


def rows(found: list[Poisoned]) -> Iterator[list[Any]]:
    """Yield the rows of the table."""
    for one in found:
        yield [
            one.poison,
            one.window,
            ", ".join(one.unusual),
            one.verdict,
            f"{one.served:.4f}",
            f"{one.instead:.4f}",
            "yes" if one.bad else "no",
            f"{one.recovered:.3f}",
            one.reason,
        ]


def main() -> None:
    """Print what became of the poisoned windows, and the bars last."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning.poison", description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="ml-100k")
    parser.add_argument("--method", default="replay-inactive")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--windows", type=int, default=10, help="at least 10: three poisoned, and two after each")
    parser.add_argument("--out", type=Path, help="a file for the findings as JSON")
    asked = parser.parse_args()
    console = Console(stderr=True)
    try:
        log, windows = load(Asked(asked.data, windows=max(10, asked.windows)), console.print)
        settings = MethodSettings(seed=asked.seed)
        found = scenario(lambda: make(asked.method, settings), log, windows, console.print)
    except (TidegateError, ModelError) as error:
        sys.exit(f"benchmarks.learning.poison: {error}")
    if asked.out:
        asked.out.write_text(json.dumps([asdict(one) | {"bad": one.bad} for one in found]))
    headings = ("poison", "window", "unusual", "verdict", "next", "by the one before", "bad", "recovered", "reason")
    say_table(headings, rows(found), f"{asked.data}, {asked.method}")
    report(
        f"poison {asked.data} {asked.method}",
        {
            "bad_versions_live": sum(one.bad for one in found),
            "worst_served": round(min(one.served / one.instead for one in found), 3),
            "recovered": round(min(one.recovered for one in found), 3),
        },
        {"bad_versions_live": "== 0", "recovered": ">= 0.97"},
    )


if __name__ == "__main__":
    main()
