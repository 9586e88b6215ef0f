"""Versioned SQL objects: a migration names a file, the file holds the body.

`sql/functions/ingest_flaw_v01.sql` is version 1 of `ingest_flaw`. A released file is never edited (a test
keeps their hashes): a change is a copy to `_v02` and a short revision that installs it and, on the way down,
the one before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from alembic import op
from sqlalchemy import text

Kind = Literal["functions", "triggers", "types", "views"]
FOLDER = Path(__file__).parent / "sql"


def body(kind: Kind, name: str, version: int) -> str:
    """Return the text of one version of an SQL object."""
    return (FOLDER / kind / f"{name}_v{version:02d}.sql").read_text(encoding="utf-8")


def install(kind: Kind, name: str, version: int = 1) -> None:
    """Run one version of an SQL object as it stands in its file."""
    run(body(kind, name, version))


def run(script: str) -> None:
    """Run SQL that SQLAlchemy must not read parameters into: a colon there is only a colon."""
    op.execute(text(script.replace(":", r"\:")))


def run_script(script: str) -> None:
    """Run a script of many statements that others wrote, as one simple query without parameters."""
    if op.get_context().as_sql:
        run(script)
        return
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    connection.execute(script, prepare=False)
