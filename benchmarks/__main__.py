"""Ask every question and print a table, then all figures as one JSON line."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

QUESTIONS = ("ingest", "lookup", "latency", "increment")


def ask(question: str) -> dict[str, Any]:
    """Run one benchmark in a process of its own; return what its last line says."""
    ran = subprocess.run([sys.executable, "-m", f"benchmarks.{question}"], check=False, capture_output=True, text=True)
    if ran.returncode:
        sys.exit(f"benchmarks.{question} ended with exit code {ran.returncode}:\n{ran.stderr}")
    answer: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return answer


def main() -> None:
    """Print the table and the JSON line."""
    console = Console()
    table = Table("question", "figure", "value")
    answers = []
    for question in QUESTIONS:
        with console.status(f"asking {question}"):
            answers.append(ask(question))
        for figure, value in answers[-1]["figures"].items():
            table.add_row(question, figure, str(value))
    console.print(table)
    sys.stdout.write(json.dumps({"benchmarks": answers}) + "\n")


if __name__ == "__main__":
    main()
