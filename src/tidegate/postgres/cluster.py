"""One data folder and the server process on it. Who may start or stop it is decided in embedded.py.

Whether the server lives is asked by connecting: a process id can be reused and a lock file can be left
behind.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

from tidegate.errors import DatabaseUnavailable
from tidegate.postgres.binaries import Binaries
from tidegate.postgres.folder import PORT, Folder, close_socket, open_socket

SUPERUSER = "postgres"
START_SECONDS = 300.0  # recovery after a crash replays up to max_wal_size
ORPHAN_SECONDS = 5.0  # backends notice the death of their postmaster within milliseconds, unless they compute
PAUSE = 0.02
TAIL_LINES = 6
# Starts a program that outlives us without becoming our zombie. Arguments are positional: nothing is quoted.
DETACH = 'log=$1; shift; "$@" >>"$log" 2>&1 </dev/null & echo $!'


class Cluster:
    """A data folder with the binaries that fit it."""

    def __init__(self, folder: Folder, binaries: Binaries) -> None:
        self._folder = folder
        self._binaries = binaries.for_account(folder.account, folder.place)

    def conninfo(self, database: str) -> str:
        """Return libpq's key=value form; host and port stand in it, so PGHOST and PGPORT change nothing."""
        return make_conninfo(host=str(self._folder.socket), port=PORT, user=SUPERUSER, dbname=database)

    def answers(self) -> bool:
        """Return whether the server takes connections, waiting while it starts up or shuts down."""
        deadline = time.monotonic() + START_SECONDS
        while (answer := self._ping()) == Ping.REJECT:
            if time.monotonic() > deadline:
                raise self._failure("The embedded server refuses connections, as while starting up or shutting down.")
            time.sleep(PAUSE)
        return answer == Ping.OK

    def prepare(self, settings: Mapping[str, str]) -> None:
        """Make the data folder if there is none, and refuse one of another major version."""
        if self._version() is None:
            self._initialise(durable=settings.get("fsync") != "off")
        if self._version() != self._binaries.major:
            raise DatabaseUnavailable(
                f"{self._folder.data} is of PostgreSQL {self._version()}; this is {self._binaries.major}.",
                "Dump it with the old version and restore it, or choose another TIDEGATE_HOME.",
            )

    def start(self, settings: Mapping[str, str]) -> None:
        """Start the server and wait until it answers. What a killed one left is cleared away first."""
        self._clear_remains()
        open_socket(self._folder)
        mark = self._folder.log.stat().st_size if self._folder.log.exists() else 0
        pid = self._launch(settings)
        deadline = time.monotonic() + START_SECONDS
        while self._ping() != Ping.OK:
            if not _running(pid):
                raise self._failure("The embedded PostgreSQL does not start.", _tail(self._folder.log, mark))
            if time.monotonic() > deadline:
                raise self._failure(f"The embedded PostgreSQL is not ready after {START_SECONDS:.0f} s.")
            time.sleep(PAUSE)

    def stop(self) -> None:
        """Stop the server, ending its connections, and wait until it has written everything."""
        done = self._run("pg_ctl", "stop", "--pgdata", self._folder.data, "--mode=fast", "--wait", "--timeout=120")
        if done.returncode != 0 and self._ping() != Ping.NO_RESPONSE:
            raise self._failure("The embedded PostgreSQL does not stop.", done.stdout + done.stderr)
        close_socket(self._folder)

    def create_database(self, name: str) -> None:
        """Create the database unless it exists."""
        with psycopg.connect(self.conninfo("postgres"), autocommit=True) as connection:
            if not connection.execute("select from pg_database where datname = %s", [name]).rowcount:
                connection.execute(psycopg.sql.SQL("create database {}").format(psycopg.sql.Identifier(name)))

    def pid(self) -> int | None:
        """Return the process id in the server's lock file, be that server alive or not."""
        try:
            return int((self._folder.data / "postmaster.pid").read_text().split()[0])
        except (FileNotFoundError, IndexError, ValueError):
            return None

    def _ping(self) -> Ping:
        return Ping(PGconn.ping(f"{self.conninfo('postgres')} connect_timeout=5".encode()))

    def _version(self) -> str | None:
        try:
            return (self._folder.data / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            return None

    def _initialise(self, durable: bool) -> None:
        """Run initdb beside the final place and rename: a crash halfway leaves no half-made cluster."""
        fresh = self._folder.place / "data.initialising"
        shutil.rmtree(fresh, ignore_errors=True)
        done = self._run(
            "initdb",
            "--pgdata",
            fresh,
            f"--username={SUPERUSER}",
            "--auth=trust",  # the socket's folder opens for its owner only
            "--encoding=UTF8",
            "--locale-provider=builtin",  # sorts the same on every machine, whatever libc is there
            "--locale=C",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
            *([] if durable else ["--no-sync"]),
        )
        if done.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise self._failure("initdb failed.", done.stdout + done.stderr)
        fresh.rename(self._folder.data)

    def _launch(self, settings: Mapping[str, str]) -> int:
        """Start the postmaster in a session of its own, where no Ctrl-C reaches it, and return its pid."""
        chosen = dict(settings) | {
            "listen_addresses": "",
            "port": PORT,
            "unix_socket_directories": '"{}"'.format(str(self._folder.socket).replace('"', '""')),
            "unix_socket_permissions": "0700",
        }
        options = [word for key, value in chosen.items() for word in ("-c", f"{key}={value}")]
        server = [self._binaries.program("postgres"), "-D", str(self._folder.data), *options]
        done = self._spawn(["/bin/sh", "-c", DETACH, "sh", str(self._folder.log), *server])
        return int(done.stdout)

    def _clear_remains(self) -> None:
        """Make way for a new postmaster where the old one was killed.

        PostgreSQL itself takes a reused process id in a lock file for a living server. The kernel knows
        better: a process of this cluster has the data folder as its working directory.
        """
        if not Path("/proc/self/cwd").exists():  # not Linux: PostgreSQL's own check has to do
            return
        pid = self.pid()
        if pid is not None and pid in self._processes():
            raise self._failure(f"The embedded PostgreSQL (process {pid}) runs but does not answer.")
        if not _wait(lambda: not self._processes(), ORPHAN_SECONDS):
            for orphan in self._processes():
                os.kill(orphan, signal.SIGQUIT)
            _wait(lambda: not self._processes(), ORPHAN_SECONDS)
        if not self._processes():
            for lock in (self._folder.data / "postmaster.pid", self._folder.socket / f".s.PGSQL.{PORT}.lock"):
                lock.unlink(missing_ok=True)

    def _processes(self) -> list[int]:
        """Return the processes that work in the data folder: a postmaster and its children, if any."""
        data = str(self._folder.data.resolve())
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _cwd(entry) == data]

    def _run(self, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return self._spawn([self._binaries.program(program), *map(str, arguments)])

    def _spawn(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command as the server's user, without our environment: PGOPTIONS would change it."""
        return subprocess.run(
            command,
            check=False,
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            start_new_session=True,
            **self._folder.account.spawn,
        )

    def _failure(self, cause: str, output: str | None = None) -> DatabaseUnavailable:
        """Return the error, with the last lines of what the server said."""
        output = _tail(self._folder.log, 0) if output is None else output
        if "No space left on device" in output:
            return DatabaseUnavailable(f"{cause} The disk of {self._folder.place} is full.", "Free some space.")
        lines = [f"\n    {line}" for line in output.strip().splitlines()[-TAIL_LINES:]]
        return DatabaseUnavailable(f"{cause}{''.join(lines)}\n ", f"The server's log is {self._folder.log}.")


def _tail(log: Path, start: int) -> str:
    """Return what was appended to a log since `start` (bytes), or nothing if there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(start)
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def _running(pid: int) -> bool:
    """Return whether a process lives; one that has died and that nobody has asked after does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # no /proc on this system, or the process has just gone
        return not Path("/proc/self").exists()


def _cwd(process: Path) -> str | None:
    try:
        return str((process / "cwd").readlink())
    except OSError:
        return None


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE)
    return True
