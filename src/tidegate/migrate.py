"""The schema of a database, and how to bring it to this program's version.

The same revisions as plain `alembic upgrade head` runs; this module is for programs that hold a Database
already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tidegate.errors import DatabaseError, SchemaMissing, TidegateError
from tidegate.postgres import Database

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

SCRIPTS = "migrations"


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring the schema to `revision`. Raises DatabaseError where the server cannot carry it."""
    from alembic import command

    _run(database, lambda config: command.upgrade(config, revision))


def downgrade(database: Database, revision: str) -> None:
    """Take the schema back to `revision`: "-1" for one step, "base" for nothing left. Their data is lost."""
    from alembic import command

    _run(database, lambda config: command.downgrade(config, revision))


def head() -> str | None:
    """Return the newest revision that this program brings, or None if it brings none."""
    return _scripts().get_current_head()


def current(database: Database) -> str | None:
    """Return the revision of the database, or None if tidegate never touched it."""
    with database.connect() as connection:
        row = connection.execute("select to_regclass('alembic_version')").fetchone()
        if row is None or row[0] is None:
            return None
        row = connection.execute("select version_num from alembic_version").fetchone()
    return None if row is None else str(row[0])


def require(database: Database) -> None:
    """Raise SchemaMissing unless the schema is the one that this program was written for."""
    found, wanted = current(database), head()
    if found != wanted:
        raise SchemaMissing(f"The schema of {database} is at revision {found or 'none'}; this program needs {wanted}.")


def scripts_folder() -> Path:
    """Return the folder of the revisions: beside `src` in a checkout, else beside the package."""
    package = Path(__file__).parent
    for folder in (package.parent / SCRIPTS, package.parent.parent / SCRIPTS):
        if (folder / "env.py").is_file():
            return folder
    raise TidegateError("The migrations are not installed.", "Install tidegate from its repository: `make setup`.")


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(scripts_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config())


def _run(database: Database, action: Callable[[Config], None]) -> None:
    """Run an Alembic command over our own connection; env.py finds it in the attributes."""
    from sqlalchemy import create_engine, pool

    config = _config()
    engine = create_engine(database.sqlalchemy_url, poolclass=pool.NullPool)
    with _explained(database), engine.connect() as connection:
        config.attributes["connection"] = connection
        action(config)


@contextmanager
def _explained(database: Database) -> Iterator[None]:
    """Turn what a foreign server lacks into words that say how to give it."""
    from psycopg import errors
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except DBAPIError as error:
        if isinstance(error.orig, errors.FeatureNotSupported | errors.UndefinedFile):
            raise DatabaseError(
                f"The server of {database} lacks an extension: {error.orig.diag.message_primary}.",
                "Install pgvector there (package postgresql-NN-pgvector), then migrate again.",
            ) from None
        raise
