"""The replay: rank a window by what was learned before it, then learn it.

Dawid 1984, "Present position and potential developments: the prequential approach". Nothing is sampled: an event is
ranked against every item that is alive at its moment (Krichene and Rendle 2020, "On sampled metrics for item
recommendation"), and items that a user has taken leave the race only where nobody takes anything twice.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from math import inf

import numpy as np

from models.backtest import answers
from models.backtest.contract import Clicks, Method, SharesBase
from models.backtest.cost import Cost, Meter
from models.backtest.log import EventLog
from models.batches import MOST_SCORES
from models.errors import NoScore, TimelineError
from models.evaluation import Scorer, ranks_of
from models.histories import Queries, spans, target_queries
from models.timelines import Catalogue

BASE_SHARE = 0.7  # of the time span
WINDOWS = 10
SHOWN = 10  # items at the top that a user would see
BACK = 5  # windows after which it is looked what was forgotten
# Moments of a window that are asked again later: forgetting is a difference of means, a sample of moments tells it.
# Each of them is still ranked against everything.
ASKED_AGAIN = 500


@dataclass(frozen=True)
class Window:
    """Hold a stretch of the log."""

    number: int  # 1 = the first one after the base
    start: int  # position of its first event
    stop: int  # position after its last event
    since: float  # unix seconds
    until: float  # unix seconds, itself excluded


@dataclass(frozen=True)
class Ranks:
    """Hold the rank of every event that was to be found, 1 = on top, and what was shown meanwhile."""

    event: np.ndarray  # (M,) int64, position in the log
    rank: np.ndarray  # (M,) int64
    alive: np.ndarray  # (M,) int64, how many items took part
    shown: np.ndarray  # (N,) int64, how often each item was among the first SHOWN


@dataclass(frozen=True)
class Judged:
    """Hold what became of one window: ranked first, learned afterwards."""

    window: Window
    ranks: Ranks
    scoring: Cost
    learning: Cost
    after: np.ndarray | None = None  # (A,) int64, ranks of some of its events just after it was learned
    back: np.ndarray | None = None  # (B,) int64, ranks of the same events of the window BACK windows ago, today
    said: answers.Answers | None = None  # by a click head, before it learned the window


@dataclass
class Course:
    """Hold a method's way through all windows."""

    base: Cost
    judged: list[Judged] = field(default_factory=list)


def cut(log: EventLog, base_share: float = BASE_SHARE, count: int = WINDOWS) -> tuple[Window, ...]:
    """Return `count` windows of equal length in time after the base, which is a share of the time span."""
    if not len(log):
        raise TimelineError("a log without events has no windows; give it some")
    first, last = float(log.time[0]), float(np.nextafter(log.time[-1], inf))
    return cut_at(log, np.linspace(first + (last - first) * base_share, last, count + 1))


def cut_at(log: EventLog, edges: Sequence[float] | np.ndarray) -> tuple[Window, ...]:
    """Return the windows between increasing `edges` (unix seconds); what lies before the first is the base.

    Events of one time are never parted. Raises TimelineError where there is no base, no window or no order.
    """
    edges = np.asarray(edges, dtype=np.float64)
    places = np.searchsorted(log.time, edges, side="left")
    if len(edges) < 2 or np.any(np.diff(edges) <= 0):
        raise TimelineError("windows need two or more increasing boundaries")
    if places[0] == 0:
        raise TimelineError("no event lies before the first window; begin later, so that there is something to learn")
    return tuple(
        Window(number, int(places[number - 1]), int(places[number]), float(edges[number - 1]), float(edges[number]))
        for number in range(1, len(edges))
    )


Bases = dict[Hashable, tuple[Method, Cost]]


def replay(
    method: Method, log: EventLog, windows: Sequence[Window], look_back: bool = True, bases: Bases | None = None
) -> Iterator[Course]:
    """Take a method through the windows and yield its course after the base and after each window.

    With `look_back`, some events of each window are ranked once more when it was learned and BACK windows later.
    `bases` holds what earlier methods learned from the same base, for those that share it.
    """
    course = Course(begin(method, log.before(windows[0].start), {} if bases is None else bases))
    yield course
    for window in windows:
        course.judged.append(judge(method, log, window))
        if look_back:
            course.judged[-1] = looked_back(method, log, course.judged)
        yield course


def begin(method: Method, base: EventLog, bases: Bases) -> Cost:
    """Learn the base, or begin like a method that has learned it; return what the learning took."""
    key = method.base_key() if isinstance(method, SharesBase) else None
    if key in bases:
        earlier, cost = bases[key]
        assert isinstance(method, SharesBase)
        assert isinstance(earlier, SharesBase)
        method.begin_like(earlier, base)
        return cost
    with Meter() as meter:
        method.learn(base, 0)
    if key is not None:
        bases[key] = deepcopy(method), meter.cost
    return meter.cost


def judge(method: Method, log: EventLog, window: Window) -> Judged:
    """Rank the events of a window, then learn them."""
    with Meter() as scoring:
        ranks = rank_window(method, log, window)
    said = ask(method, log, window)
    with Meter() as learning:
        if window.stop > window.start:
            method.learn(log.before(window.stop), window.start)
    return Judged(window, ranks, scoring.cost, learning.cost, said=said)


def ask(method: Method, log: EventLog, window: Window) -> answers.Answers | None:
    """Ask the method's click head, where it has one and there is something to ask about."""
    if window.stop == window.start or not isinstance(method, Clicks):
        return None
    past = log.before(window.stop)
    return answers.ask(method, past, window_queries(past, window)[0], window.number)


def looked_back(method: Method, log: EventLog, judged: Sequence[Judged]) -> Judged:
    """Return the last window's judgement with the ranks that the method gives to what it has learned.

    Items that were born since an earlier window are in the catalogue, but took no part in what happened then.
    """
    last = judged[-1]
    today = log.before(last.window.stop).catalogue
    after = rank_window(method, log, last.window, ASKED_AGAIN).rank
    earlier = judged[-1 - BACK].window if len(judged) > BACK else None
    back = None if earlier is None else rank_window(method, log, earlier, ASKED_AGAIN, today).rank
    return replace(last, after=after, back=back)


def rank_window(
    method: Method, log: EventLog, window: Window, most: int | None = None, catalogue: Catalogue | None = None
) -> Ranks:
    """Rank every event of a window, or those of at most `most` of its moments, spread evenly over the users.

    Without `catalogue`, the method is asked about the items alive at the end of the window. Raises NoScore where a
    score is no number.
    """
    past = log.before(window.stop)
    catalogue = catalogue or past.catalogue
    queries, event = window_queries(past, window)
    if most is not None and len(queries) > most:
        queries = queries[np.linspace(0, len(queries) - 1, most).astype(np.int64)]
    if not len(queries):
        nothing = np.zeros(0, dtype=np.int64)
        return Ranks(nothing, nothing, nothing, np.zeros(len(catalogue), dtype=np.int64))
    return rank_queries(method.scorer(catalogue), past, queries, event, window.start)


def window_queries(past: EventLog, window: Window) -> tuple[Queries, np.ndarray]:
    """Return the moments of a window, and for each event of their histories its position in the log.

    The first event of a session is nobody's to guess: nothing is known of who began it.
    """
    queries = target_queries(past.timelines(window.start))
    if past.sessions:
        queries = queries[queries.start > queries.first]
    return queries, timeline_positions(past, window.start)


def timeline_positions(log: EventLog, start: int) -> np.ndarray:
    """Return the position in the log of each event of `log.timelines(start)`, laid end to end."""
    wanted = np.zeros(len(log.users), dtype=bool)
    wanted[log.user[start:]] = True
    chosen = np.flatnonzero(wanted[log.user])
    return chosen[np.argsort(log.user[chosen], kind="stable")]


def rank_queries(scorer: Scorer, log: EventLog, queries: Queries, event: np.ndarray, start: int) -> Ranks:
    """Rank the events of the queries against all items alive at each moment; their window begins at `start`."""
    query, place = asked(log, queries, start)
    item = queries.histories.items[place]
    first = np.searchsorted(query, np.arange(len(queries) + 1))  # where the targets of a query begin
    race = Race(log, queries)
    ranks = np.zeros(len(item), dtype=np.int64)
    shown = np.zeros(len(scorer), dtype=np.int64)
    for chosen, raw in scorer.scores(queries):
        scores = race.scores(chosen, raw)
        row, wanted = spans(first[chosen], first[chosen + 1])
        ranks[wanted] = _ranks(scores, row, item[wanted])
        shown += _shown(scores)
    return Ranks(event[place], ranks, race.alive[query], shown)


def asked(log: EventLog, queries: Queries, start: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (query (M,), place in the histories (M,)) of the events that are to be found."""
    query, place = queries.target_events()
    if log.known_only:
        known = np.zeros(len(log.catalogue), dtype=bool)
        known[log.item[:start]] = True
        kept = known[queries.histories.items[place]]
        query, place = query[kept], place[kept]
    return query, place


class Race:
    """Say which items take part at which moment."""

    def __init__(self, log: EventLog, queries: Queries) -> None:
        self.queries = queries
        self.repeats = log.repeats
        self.alive = np.searchsorted(log.about.born, queries.time, side="right")  # (Q,): the first items of all

    def scores(self, chosen: np.ndarray, raw: np.ndarray) -> np.ndarray:
        """Return the scores (q, N) of the chosen queries; minus infinity for what does not take part."""
        if np.isnan(raw).any():
            raise NoScore("a method scored an item by something that is no number; look at its losses")
        scores = np.array(raw)
        if (alive := self.alive[chosen]).min() < scores.shape[1]:
            scores[np.arange(scores.shape[1]) >= alive[:, None]] = -inf
        if not self.repeats:
            row, event = spans(self.queries.first[chosen], self.queries.start[chosen])
            scores[row, self.queries.histories.items[event]] = -inf
        return scores


def _ranks(scores: np.ndarray, row: np.ndarray, item: np.ndarray) -> np.ndarray:
    """Return ranks as ranks_of does, some events at a time: a basket would copy its row once for each item."""
    step = max(1, MOST_SCORES // scores.shape[1])
    parts = [ranks_of(scores, row[i : i + step], item[i : i + step]) for i in range(0, len(row), step)]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def _shown(scores: np.ndarray) -> np.ndarray:
    """Return how often (N,) each item is among the first SHOWN of the rows."""
    size = scores.shape[1]
    best = np.argpartition(scores, size - min(SHOWN, size), axis=1)[:, -SHOWN:]
    real = np.take_along_axis(scores, best, axis=1) > -inf
    return np.bincount(best[real], minlength=size)
