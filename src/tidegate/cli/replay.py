"""`tidegate replay`: train a version again from its manifest, and compare."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tidegate.cli.processes import become


def replay(
    version: Annotated[int, typer.Argument(metavar="VERSION", help="The version's id, as `versions list` shows it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train a version again and compare the weights; change nothing.

    Exit code 0: equal, and nothing that it was trained with has been touched. 1: anything else, with the reason.
    """
    become((sys.executable, "-m", "workers.replay", str(version), *(["--json"] if as_json else [])))
