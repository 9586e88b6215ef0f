"""The demo's live view: a table that is redrawn on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType
from typing import Any, Self

import psycopg
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tidegate.demo.story import Scene
from tidegate.queries import queries

REFRESH = 0.5  # seconds between looks at the database
LINES = 8


class View:
    """Show scenes until closed. With `quiet`, show nothing."""

    def __init__(self, connection: psycopg.Connection[Any], console: Console, quiet: bool) -> None:
        self.connection = connection
        self.console = console
        self.quiet = quiet
        self.started = time.monotonic()
        self.looked = 0.0
        self.title = ""
        self.figures: dict[str, Any] = {}
        self.lines: deque[str] = deque(maxlen=LINES)
        self.live: Live | None = None
        if not quiet and console.is_terminal:
            self.live = Live(console=console, refresh_per_second=4, transient=False)

    def __enter__(self) -> Self:
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.live:
            self.live.update(self.draw())
            self.live.stop()

    def log(self, name: str, line: str) -> None:
        """Show a log line of one of the processes."""
        self.lines.append(line)
        if not self.quiet and not self.live:
            self.console.print(line, highlight=False, markup=False)

    def show(self, scene: Scene) -> None:
        """Show where the story is; the database is asked at most every REFRESH seconds."""
        now = time.monotonic()
        if scene.title != self.title:
            self.title = scene.title
            if not self.quiet and not self.live:
                self.console.print(f"[bold]{now - self.started:5.0f} s  {scene.title}[/bold]")
        if self.live and now - self.looked >= REFRESH:
            self.looked = now
            row = self.connection.execute(queries["demo_progress"]).fetchone()
            self.figures = row[0] if row else {}
            self.live.update(self.draw())

    def draw(self) -> Group:
        """Return the whole picture."""
        seconds = time.monotonic() - self.started
        head = Text.assemble((f"{seconds:4.0f} s  ", "dim"), (self.title, "bold"))
        return Group(
            head,
            self.counters(),
            self.windows(),
            Panel("\n".join(self.lines), title="log", height=LINES + 2),
        )

    def counters(self) -> Table:
        """Return events in, ledger depth against the threshold, freshness."""
        table = Table.grid(padding=(0, 3))
        figures = self.figures
        waiting, threshold = figures.get("waiting", 0), figures.get("threshold", 0)
        table.add_row(
            f"events in [bold]{figures.get('events', 0):,}[/bold]",
            f"ledger [bold]{waiting:,}[/bold] of {threshold:,}",
            f"not folded yet [bold]{figures.get('unfolded', 0):,}[/bold]",
            f"quarantined [bold]{figures.get('quarantined', 0):,}[/bold]",
        )
        return table

    def windows(self) -> Table:
        """Return a row for each window: its state, its version and what the gate said."""
        table = Table(
            "window",
            "events",
            "state",
            "version",
            "verdict",
            "ndcg@10 live",
            "popularity",
            "own frequency",
            "s",
        )
        for window in self.figures.get("windows", []):
            ndcg = window["ndcg"] or {}
            live = ndcg.get("live window", ndcg.get("candidate holdout"))
            part = "window" if "live window" in ndcg else "holdout"
            verdict = {
                "promote": "[green]promoted[/green]",
                "refuse": "[yellow]refused[/yellow]",
            }.get(window["verdict"], "")
            table.add_row(
                str(window["window"]),
                f"{window['n']:,}",
                "training" if window["running"] else window["state"],
                "" if window["version"] is None else str(window["version"]),
                verdict,
                *(
                    figure(value)
                    for value in (
                        live,
                        ndcg.get(f"popularity {part}"),
                        ndcg.get(f"frequency {part}"),
                    )
                ),
                "" if window["seconds"] is None else f"{window['seconds']:.0f}",
            )
        return table


def figure(value: float | None) -> str:
    """Return a metric with four digits, or nothing."""
    return "" if value is None else f"{value:.4f}"


def recommendations(title: str, answer: dict[str, Any]) -> Table:
    """Return what a household is recommended, as a table."""
    table = Table(
        "",
        "item",
        "category",
        "why",
        title=f"{title} (version {answer['version']})",
        title_justify="left",
    )
    for place, item in enumerate(answer["items"], 1):
        table.add_row(
            str(place),
            item["title"] or item["item_id"],
            item["category"] or "",
            item["why"],
        )
    return table
