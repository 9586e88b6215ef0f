"""Several methods on one log: choose on the first half of the windows, report on the second.

Each method with choices is run with every combination through the first half, with the first seed; the one with the
best NDCG@10 there is run through all windows with every seed. Nothing of the second half decides anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.backtest.bootstrap import Difference, differences
from models.backtest.figures import MAIN, Run, gains
from models.backtest.log import EventLog
from models.backtest.prequential import Bases, Course, Window, replay
from models.backtest.registry import MethodSettings, Options, entry, make
from models.backtest.segments import segments
from models.evaluation import earned

log = logging.getLogger(__name__)

# Hears (method, what is being done, windows done, windows in all).
Heard = Callable[[str, str, int, int], None]


@dataclass(frozen=True)
class Tried:
    """Hold what a combination of hyper-parameters earned on the first half of the windows."""

    method: str
    options: dict[str, Any]
    gain: float


@dataclass
class Contest:
    """Hold everything that a contest brought."""

    log: EventLog
    windows: tuple[Window, ...]
    runs: list[Run] = field(default_factory=list)
    tried: list[Tried] = field(default_factory=list)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    bases: Bases = field(default_factory=dict)  # first versions that several methods share

    def __post_init__(self) -> None:
        self.parts = segments(self.log, self.windows)

    @property
    def methods(self) -> list[str]:
        """Return the methods that came through, in the order in which they ran."""
        return list(dict.fromkeys(run.method for run in self.runs))

    @property
    def chosen_on(self) -> list[int]:
        """Return the numbers of the windows on which choices are made: the first half."""
        return [window.number for window in self.windows[: len(self.windows) // 2]]

    @property
    def reported(self) -> list[int]:
        """Return the numbers of the windows that are reported: the second half."""
        return [window.number for window in self.windows[len(self.windows) // 2 :]]

    def of(self, method: str) -> list[Run]:
        """Return the runs of a method, one a seed."""
        return [run for run in self.runs if run.method == method]

    def summaries(self, method: str) -> list[dict[str, float]]:
        """Return the figures of the reported windows, one dict a seed."""
        return [run.summary(self.parts, self.reported) for run in self.of(method)]

    def gains(self, metric: str = MAIN, segment: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return (gains (K, M), user (M,)): what each method earns with each reported event, as a mean over seeds."""
        event, _, _ = self.runs[0].ranks(self.reported)
        inside = self.parts[segment][event] if segment else np.ones(len(event), dtype=bool)
        earned = np.stack([self._gain(method, metric, event)[inside] for method in self.methods])
        return earned, self.log.user[event[inside]]

    def differences(self, metric: str = MAIN, segment: str | None = None) -> dict[tuple[str, str], Difference]:
        """Return the difference of every two methods, over users drawn in pairs; none where no event is there."""
        return differences(self.methods, *self.gains(metric, segment)) if self.runs else {}

    def _gain(self, method: str, metric: str, event: np.ndarray) -> np.ndarray:
        parts = []
        for run in self.of(method):
            found, rank, alive = run.ranks(self.reported)
            assert np.array_equal(found, event), "methods were asked about different events"
            parts.append(gains(rank, alive)[metric])
        return np.mean(parts, axis=0)


def compete(
    events: EventLog,
    windows: Sequence[Window],
    methods: Sequence[str],
    seeds: int = 3,
    said: Mapping[str, Options] | None = None,
    settings: MethodSettings | None = None,
    heard: Heard = lambda *_: None,
) -> Iterator[Contest]:
    """Run the methods and yield the contest after each of them.

    `said` gives options that are not to be chosen. A method that fails is left out, and the contest says why.
    """
    contest = Contest(events, tuple(windows))
    for method in methods:
        try:
            _take_part(contest, method, (said or {}).get(method), seeds, settings or MethodSettings(), heard)
        except Exception as error:
            log.exception("%s failed", method)
            contest.failed[method] = f"{type(error).__name__}: {error}"
            contest.runs = [run for run in contest.runs if run.method != method]
        yield contest


def _take_part(
    contest: Contest, method: str, options: Options | None, seeds: int, settings: MethodSettings, heard: Heard
) -> None:
    contest.options[method] = dict(options) if options is not None else _choose(contest, method, settings, heard)
    for seed in range(seeds if entry(method).seeded else 1):
        own = _with(settings, seed, contest.options[method])
        course = _through(contest, method, own, len(contest.windows), f"seed {seed}", heard)
        contest.runs.append(Run(method, seed, course))


def _choose(contest: Contest, method: str, settings: MethodSettings, heard: Heard) -> dict[str, Any]:
    """Return the options that earn most on the first half of the windows."""
    combinations = entry(method).combinations()
    if len(combinations) == 1:
        return combinations[0]
    half = contest.chosen_on
    for number, options in enumerate(combinations, start=1):
        what = f"choice {number} of {len(combinations)}"
        course = _through(contest, method, _with(settings, 0, options), len(half), what, heard, look_back=False)
        _, rank, _ = Run(method, 0, course).ranks(half)
        contest.tried.append(Tried(method, options, float(earned(rank)[MAIN].mean()) if len(rank) else 0.0))
    return max((tried for tried in contest.tried if tried.method == method), key=lambda tried: tried.gain).options


def _with(settings: MethodSettings, seed: int, options: Options) -> MethodSettings:
    return MethodSettings(seed, options, settings.device, settings.threads)


def _through(
    contest: Contest,
    method: str,
    settings: MethodSettings,
    count: int,
    what: str,
    heard: Heard,
    look_back: bool = True,
) -> Course:
    """Take a method through the first `count` windows."""
    heard(method, what, 0, count + 1)
    for course in replay(make(method, settings), contest.log, contest.windows[:count], look_back, contest.bases):
        heard(method, what, len(course.judged) + 1, count + 1)
    return course
