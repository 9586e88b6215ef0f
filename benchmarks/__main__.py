"""Ask every question, or those that are named, and print a table, then all figures as one JSON line.

A question that cannot be answered does not keep the others from being asked; the exit code tells.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measuring import shown

QUESTIONS = ("ingest", "freshness", "lookup", "latency", "windows", "memory", "increment")


def ask(question: str) -> dict[str, Any]:
    """Run one benchmark in a process of its own; return what its last line says, or its error."""
    ran = subprocess.run([sys.executable, "-m", f"benchmarks.{question}"], check=False, capture_output=True, text=True)
    if ran.returncode:
        return {"benchmark": question, "figures": {}, "bars": {}, "error": ran.stderr[-2_000:]}
    answer: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return answer


def add_rows(table: Table, answer: dict[str, Any]) -> None:
    """Add what a benchmark answered."""
    if "error" in answer:
        table.add_row(answer["benchmark"], "failed", "", answer["error"].strip().rpartition("\n")[2])
    for figure, value in answer["figures"].items():
        table.add_row(answer["benchmark"], figure, str(value), shown(answer["bars"].get(figure)))


def main() -> None:
    """Print the table and the JSON line."""
    console = Console()
    table = Table("question", "figure", "value", "bar")
    answers = []
    for question in sys.argv[1:] or QUESTIONS:
        with console.status(f"asking {question}"):
            answers.append(ask(question))
        add_rows(table, answers[-1])
    console.print(table)
    sys.stdout.write(json.dumps({"benchmarks": answers}) + "\n")
    if any("error" in answer for answer in answers):
        sys.exit(1)


if __name__ == "__main__":
    main()
