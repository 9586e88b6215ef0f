"""The operating-system user that the embedded server runs as.

PostgreSQL refuses to run as root. So root starts the server as `postgres` where that user exists, else as
`nobody`, which every Unix has: no user is ever created. Everybody else starts it as themselves.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidegate.errors import DatabaseUnavailable

CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """A user, and whether a process has to change into it."""

    uid: int
    gid: int
    name: str

    @classmethod
    def for_new_cluster(cls) -> Account:
        """Return the user that will own a cluster made now."""
        if os.geteuid() != 0:
            return cls.of(os.geteuid(), os.getegid())
        for name in CANDIDATES:
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(entry.pw_uid, entry.pw_gid, name)
        raise DatabaseUnavailable(
            "PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`.",
            "Run tidegate as a plain user, or set TIDEGATE_DATABASE_URL.",
        )

    @classmethod
    def owner_of(cls, path: Path) -> Account:
        """Return the user to whom an existing cluster belongs."""
        owner = path.stat()
        return cls.of(owner.st_uid, owner.st_gid)

    @classmethod
    def of(cls, uid: int, gid: int) -> Account:
        """Return the account of a user id, which in a container may have no name."""
        try:
            return cls(uid, gid, pwd.getpwuid(uid).pw_name)
        except KeyError:
            return cls(uid, gid, str(uid))

    @property
    def spawn(self) -> dict[str, Any]:
        """Arguments with which `subprocess.run` starts a program as this user, without root's groups."""
        if self.uid == os.geteuid():
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can(self, *command: str | Path) -> bool:
        """Return whether a command succeeds as this user. It asks the kernel: ACLs and mounts count."""
        try:
            done = subprocess.run(
                [str(word) for word in command],
                check=False,
                cwd="/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                **self.spawn,
            )
        except PermissionError:
            return False
        return done.returncode == 0

    def can_enter(self, folder: Path) -> bool:
        """Return whether this user can open files below `folder`, which must exist."""
        return not self.spawn or self.can("test", "-x", folder)

    def own(self, folder: Path) -> Path:
        """Make `folder` if it is missing and give it to this user alone; return it."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != self.uid:
            os.chown(folder, self.uid, self.gid)
        return folder
