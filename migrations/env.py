"""Alembic's entry: which database, under which locks, compared with which metadata."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, create_engine, pool, text

from tidegate.tables import SCHEMAS, metadata

# A migration that waits behind a long transaction makes every later query wait behind it: give up instead.
LOCK_TIMEOUT = "10s"
STATEMENT_TIMEOUT = "10min"
# Two deployments that migrate at once take turns.
ADVISORY_LOCK = "select pg_advisory_lock(hashtext('tidegate.migrate'))"


def ours(name: str | None, kind: str, parents: dict[str, str | None]) -> bool:
    """Tell whether an object of the database belongs to these migrations (partitions are made by the keeper)."""
    if kind == "schema":
        return name in SCHEMAS
    return not (kind == "table" and (name or "").startswith("behaviour_events_"))


def configure(connection: Connection | None = None, url: str | None = None) -> None:
    """Hand Alembic its connection (online) or the dialect to print for (offline)."""
    context.configure(
        connection=connection,
        url=url,
        target_metadata=metadata,
        include_schemas=True,
        include_name=ours,
        transaction_per_migration=True,
        # `text` binds nothing here, so that PL/pgSQL's percent signs survive in `--sql` output.
        dialect_opts={"paramstyle": "named"} if connection is None else {},
        literal_binds=connection is None,
    )


def run_offline() -> None:
    """Print the SQL."""
    configure(url="postgresql+psycopg://")
    with context.begin_transaction():
        context.run_migrations()


def run_on(connection: Connection) -> None:
    """Migrate over a connection, one revision a transaction."""
    connection.execute(text(f"set lock_timeout = '{LOCK_TIMEOUT}'"))
    connection.execute(text(f"set statement_timeout = '{STATEMENT_TIMEOUT}'"))
    connection.execute(text(ADVISORY_LOCK))
    connection.commit()
    configure(connection)
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Migrate the caller's connection, or the database that the settings name."""
    given = context.config.attributes.get("connection")
    if given is not None:
        run_on(given)
        return
    from tidegate.postgres import open_database

    with open_database() as database:
        engine = create_engine(database.sqlalchemy_url, poolclass=pool.NullPool)
        with engine.connect() as connection:
            run_on(connection)


if context.is_offline_mode():
    run_offline()
else:
    run_online()
