"""Feature servers as real processes: ours and Feast's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tests.support.processes import TIDEGATE
from tests.support.waiting import wait_until

FEAST = [sys.executable, "-c", "from feast.cli.cli import cli; cli()"]
STARTING = 120.0  # seconds: each imports Feast, on a machine that others use too


class Served(NamedTuple):
    """A feature server that listens."""

    process: subprocess.Popen[bytes]
    client: httpx.Client


def ours(folder: Path, *arguments: str) -> list[str]:
    """Return the command of our server."""
    return [*TIDEGATE, "feature-server", "-c", str(folder), "--port", "0", *arguments]


def stock(folder: Path, *arguments: str) -> list[str]:
    """Return the command of Feast's server."""
    return [*FEAST, "-c", str(folder), "serve", "--port", "0", "--no-access-log", *arguments]


@contextmanager
def serving(command: list[str], folder: Path, **client: Any) -> Iterator[Served]:
    """Yield a server that listens, with a client of it; it ends with the block.

    What it says goes to a file: a pipe that nobody reads fills, and then it stands still.
    """
    heard = folder.parent / f"{folder.name}-{id(command)}.log"
    with heard.open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log, env=environment()) as process:
        try:
            address = wait_until(lambda: listening(process, heard), seconds=STARTING, what="a server that listens")
            with httpx.Client(base_url=address, timeout=60, **client) as asking:
                yield Served(process, asking)
        finally:
            process.terminate()


def environment() -> dict[str, str]:
    """Return this process's environment without the folder of figures that importing Feast has put there."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PROMETHEUS_")}


def listening(process: subprocess.Popen[bytes], heard: Path) -> str:
    """Return where a server listens, as it says itself; empty while it does not."""
    said = heard.read_text()
    assert process.poll() is None, said
    found = re.search(r"Listening at: (https?://\S+)", said)
    return found[1] if found else ""
