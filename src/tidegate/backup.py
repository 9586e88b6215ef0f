"""Dump and restore: the whole database as one snapshot, or nothing.

Events, ledger, windows, weights and the queue are one consistent whole only together. A dump is taken while
everything runs; it goes into a database that has nothing of tidegate yet, in one transaction.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tidegate import migrate
from tidegate.errors import DatabaseError
from tidegate.postgres import Database
from tidegate.postgres.binaries import client_program
from tidegate.postgres.variables import libpq_variables


def dump(database: Database, file: Path) -> None:
    """Write all of the database to a file, as of one moment, while others write. Raises DatabaseError."""
    _run(database, "pg_dump", "--format=custom", f"--file={file}")


def restore(database: Database, file: Path) -> str | None:
    """Read a dump into an empty database; return the schema's revision. Raises DatabaseError.

    Into one that has a schema already, a restore would count every event twice or stop at the first row.
    """
    found = migrate.current(database)
    if found is not None:
        raise DatabaseError(
            f"{database} is not empty: its schema is at revision {found}.",
            "Restore into a new database, or another TIDEGATE_HOME.",
        )
    name = database.parameters.get("dbname", "postgres")
    _run(database, "pg_restore", "--single-transaction", "--no-owner", f"--dbname={name}", str(file))
    return migrate.current(database)


def _run(database: Database, program: str, *arguments: str) -> None:
    environment = os.environ | libpq_variables(database)
    done = subprocess.run(
        [client_program(program), *arguments], check=False, env=environment, capture_output=True, text=True
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise DatabaseError(f"{said[0].rstrip('.')}.", "Nothing was changed; mend that and try again.")
