"""Real processes, started as an operator or a crash would leave them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Command = Callable[..., str]
TIDEGATE = [sys.executable, "-c", "from tidegate.cli import main; main()"]


def tidegate(
    *arguments: str, environment: Mapping[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command line and return what it printed and its exit code."""
    return subprocess.run(
        [*TIDEGATE, *arguments], env=environment, capture_output=True, text=True, timeout=60, **options
    )


@contextmanager
def python(code: str, environment: Mapping[str, str] | None = None, **options: Any) -> Iterator[Speaker]:
    """Run Python code in another process; it ends with the block at the latest.

    `options` go to Popen: `user` and `group` make it somebody else's process.
    """
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", textwrap.dedent(code)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    with process:
        try:
            yield Speaker(process)
        finally:
            process.kill()


class Speaker:
    """A process that talks in lines: what it prints is the signal that a test waits for."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def hear(self) -> str:
        """Return the next line that it prints; fail with its stderr if it ends instead."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the process ended: {self.process.stderr.read()}")
        return line.rstrip("\n")

    def tell(self, line: str) -> None:
        """Send it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """End it as a crash does."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self, seconds: float = 20.0) -> int:
        """Close its input, wait for it to end, and return its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(seconds)
