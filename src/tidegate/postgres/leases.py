"""Who uses the embedded server, counted so that a crash cannot miscount.

Every holder keeps a shared lock on a file of its own; the kernel drops the lock of a process that dies,
however it dies. A counter in a file would be wrong after the first `kill -9`, and a list of process ids
after the first reused one. One more lock, the guard, stands around every start, stop, and change of
holders.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tidegate.errors import DatabaseUnavailable

GUARD_SECONDS = 120.0  # initdb on a slow disk, with another start behind it
GUARD_PAUSE = 0.02


class Lease:
    """One holder's claim on the server; it lasts until it is released or the process has died.

    It belongs to the process, not to a thread. A forked child shares it: the claim then ends with the last
    of the two.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{os.getpid()}-{secrets.token_hex(4)}"
        self._file: TextIO = self.path.open("x", encoding="utf-8")
        fcntl.flock(self._file, fcntl.LOCK_SH)
        self._file.write(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200])
        self._file.flush()

    def release(self) -> None:
        """Let go. The file stays until somebody counts, because a forked child may still hold it."""
        self._file.close()


@dataclass(frozen=True)
class Holder:
    """A live process that uses the server."""

    pid: int
    command: str


class Leases:
    """The leases in one folder, and the guard around them."""

    def __init__(self, folder: Path, guard: Path) -> None:
        self._folder = folder
        self._guard = guard

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Keep every other process and thread from starting, stopping or counting."""
        with self._guard.open("a") as file:
            _lock_within(file, GUARD_SECONDS)
            yield

    def take(self) -> Lease:
        """Become a holder. Call it guarded."""
        self._folder.mkdir(exist_ok=True)
        return Lease(self._folder)

    def holders(self) -> list[Holder]:
        """Return the live holders and remove what dead ones left. Call it guarded."""
        if not self._folder.is_dir():
            return []
        return [_holder(path) for path in sorted(self._folder.iterdir()) if not _remove_if_dead(path)]


def _lock_within(file: TextIO, seconds: float) -> None:
    """Lock `file` for us alone. flock has no timeout and an alarm needs the main thread: so this polls."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(
                    f"Another process has been starting or stopping the embedded server for {seconds:.0f} s.",
                    f"See who holds {file.name} (`fuser` or `lsof`) and end it.",
                ) from None
            time.sleep(GUARD_PAUSE)


def _remove_if_dead(path: Path) -> bool:
    """Remove a lease file whose lock is free; return whether it was."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        path.unlink()
        return True


def _holder(path: Path) -> Holder:
    return Holder(int(path.name.partition("-")[0]), path.read_text(encoding="utf-8"))
