"""The embedded server: one PostgreSQL that several processes share, with nobody in charge.

Whoever needs it first starts it, whoever leaves last stops it. A holder may be killed in any way: its lease
ends with it, and the next process that comes or goes puts things right. Use a real server
(TIDEGATE_DATABASE_URL) where several machines share the database, or where backups and replicas matter.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tidegate.errors import DatabaseError, DatabaseUnavailable
from tidegate.postgres.binaries import find_binaries
from tidegate.postgres.cluster import Cluster
from tidegate.postgres.folder import Folder, lay_out
from tidegate.postgres.leases import Holder, Lease, Leases
from tidegate.postgres.profiles import PRODUCTION

DATABASE = "tidegate"


@dataclass(frozen=True)
class Status:
    """What an operator asks about the server."""

    running: bool
    kept: bool  # it stays when the last holder leaves
    pid: int | None
    data: Path
    log: Path
    holders: list[Holder]


class EmbeddedServer:
    """The server in one home folder, seen from one process.

    `settings` count for the process that starts the server; one that joins takes it as it runs.
    """

    def __init__(self, home: Path, settings: Mapping[str, str] = PRODUCTION) -> None:
        self.home = home.resolve()
        self._settings = settings
        self._leases = Leases(self.home / "leases", self.home / "postgres.lock")
        self._lease: Lease | None = None
        self._pid = os.getpid()

    def join(self) -> str:
        """Become a holder, starting the server if it does not run; return the conninfo of its database.

        Raises DatabaseUnavailable if it does not start. The lease ends with `leave` or with the process.
        """
        self._make_home()
        with self._leases.guarded():
            _, cluster = self._cluster()
            cluster.prepare(self._settings)
            if not cluster.answers():
                cluster.start(self._settings)
            cluster.create_database(DATABASE)
            self._lease = self._lease or self._leases.take()
        atexit.register(self.leave)
        return cluster.conninfo(DATABASE)

    def leave(self) -> None:
        """Give the lease back; the last holder stops the server unless it is kept. Twice is once."""
        if self._lease is None or os.getpid() != self._pid:  # a forked child leaves by ending
            return
        atexit.unregister(self.leave)
        self._lease.release()
        self._lease = None
        if not self.home.is_dir():  # somebody has removed it, the server with it
            return
        with self._leases.guarded():
            folder, cluster = self._cluster()
            if not folder.kept.exists() and not self._leases.holders():
                cluster.stop()

    def keep(self) -> Status:
        """Start the server and let it run on without holders, until `stop`."""
        self.join()
        try:
            (self.home / "postgres.kept").touch()
        finally:
            self.leave()
        return self.status()

    def stop(self, force: bool = False) -> bool:
        """Stop the server; return whether it ran. Raises DatabaseError if it is in use, unless `force`."""
        if not self.home.is_dir():
            return False
        with self._leases.guarded():
            folder, cluster = self._cluster()
            holders = self._leases.holders()
            if holders and not force:
                raise DatabaseError(f"The server is in use by {_names(holders)}.", "End them, or stop it with --force.")
            folder.kept.unlink(missing_ok=True)
            running = cluster.answers()
            if running:
                cluster.stop()
            return running

    def status(self) -> Status:
        """Return what runs and who uses it. Asking makes no folder."""
        if not (self.home / "postgres").exists():
            place = self.home / "postgres"
            return Status(False, False, None, place / "data", place / "server.log", [])
        with self._leases.guarded():
            folder, cluster = self._cluster()
            running = cluster.answers()
            return Status(
                running=running,
                kept=folder.kept.exists(),
                pid=cluster.pid() if running else None,
                data=folder.data,
                log=folder.log,
                holders=self._leases.holders(),
            )

    def _cluster(self) -> tuple[Folder, Cluster]:
        folder = lay_out(self.home)
        return folder, Cluster(folder, find_binaries())

    def _make_home(self) -> None:
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            (self.home / "postgres.lock").touch()
        except OSError as error:
            raise DatabaseUnavailable(
                f"{self.home} cannot be written ({error.strerror}).",
                "Choose another folder with TIDEGATE_HOME.",
            ) from None


def _names(holders: list[Holder]) -> str:
    return ", ".join(f"{holder.command} (process {holder.pid})" for holder in holders)
