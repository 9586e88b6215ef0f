"""Where the embedded server keeps its files.

    TIDEGATE_HOME/
      postgres.lock       the guard around start and stop
      postgres.kept       there while an operator wants the server to stay (`tidegate database start`)
      leases/             one file for each process that uses the server
      postgres/           all that the server itself touches; it belongs to the server's user
        data/             the cluster
        server.log
        socket/           the only door: there is no TCP port
        binaries-18.6.3/  a copy, only where the server's user cannot read the installed ones

If the server's user cannot enter TIDEGATE_HOME (root's private home), `postgres` is a symbolic link to a
folder below /var/lib/tidegate. If the path is too long for a socket, the socket is below /tmp.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tidegate.errors import DatabaseUnavailable
from tidegate.postgres.account import Account

SHELTER = Path("/var/lib/tidegate")
SHORT = Path("/tmp")  # not the temporary folder of the environment: all holders must find the same one  # noqa: S108
SOCKET_LIMIT = 103  # bytes without the final zero: 104 with it on macOS, 108 on Linux
PORT = "5432"


@dataclass(frozen=True)
class Folder:
    """The paths of one embedded server. `home` belongs to its holders, `place` to the server's user."""

    home: Path
    place: Path
    account: Account

    @property
    def data(self) -> Path:
        """The cluster itself."""
        return self.place / "data"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.place / "server.log"

    @property
    def kept(self) -> Path:
        """The mark that the server stays when its last holder leaves."""
        return self.home / "postgres.kept"

    @property
    def socket(self) -> Path:
        """The folder of the socket. libpq splits at commas, so a path with one counts as too long."""
        near = self.place / "socket"
        length = len(os.fsencode(near / f".s.PGSQL.{PORT}"))
        return near if length <= SOCKET_LIMIT and "," not in str(near) else SHORT / f"tidegate-{_digest(self.place)}"


def lay_out(home: Path) -> Folder:
    """Return the folder of the server in `home`, choosing its place the first time. Call it guarded."""
    link = home / "postgres"
    account = Account.for_new_cluster()
    place = link.resolve() if link.is_symlink() else _choose_place(home, link, account)
    if (place / "data").exists():
        account = Account.owner_of(place / "data")
    return Folder(home, account.own(place), account)


def open_socket(folder: Folder) -> None:
    """Make the socket's folder; refuse one that somebody else laid there, as anybody can below /tmp."""
    socket = folder.socket
    if socket.parent == SHORT and socket.exists() and socket.lstat().st_uid != folder.account.uid:
        raise DatabaseUnavailable(f"{socket} belongs to another user.", "Remove it, or choose a shorter TIDEGATE_HOME.")
    folder.account.own(socket)


def close_socket(folder: Folder) -> None:
    """Remove the socket's folder where it lies below /tmp, which is not ours to litter."""
    if folder.socket.parent == SHORT:
        shutil.rmtree(folder.socket, ignore_errors=True)


def _choose_place(home: Path, link: Path, account: Account) -> Path:
    """Return `link` itself, or a place in the shelter that it is made to point to."""
    if account.can_enter(home):
        return link
    if link.exists():
        raise DatabaseUnavailable(
            f"The user {account.name}, who runs the server, can no longer enter {link}.",
            f"Let that user through: chmod o+x {home} and the folders above it.",
        )
    place = SHELTER / _digest(home)
    SHELTER.mkdir(mode=0o755, parents=True, exist_ok=True)
    account.own(place)
    link.symlink_to(place)
    return place


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
