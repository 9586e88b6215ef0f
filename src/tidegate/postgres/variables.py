"""The database as environment variables, for programs that have their own idea of where to find it."""

from __future__ import annotations

from tidegate.postgres.database import Database, render_url

LIBPQ = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
}
FEAST_SCHEMA = "feast"


def libpq_variables(database: Database) -> dict[str, str]:
    """Return what psql, pg_dump and every other libpq program reads."""
    return {LIBPQ[key]: value for key, value in database.parameters.items() if key in LIBPQ}


def feast_variables(database: Database) -> dict[str, str]:
    """Return what `feature_repo/feature_store.yaml` refers to. The registry lives in schema `feast`."""
    found = database.parameters
    options = " ".join(filter(None, [found.get("options"), f"-csearch_path={FEAST_SCHEMA}"]))
    return {
        "TIDEGATE_FEAST_HOST": found.get("host", "localhost"),
        "TIDEGATE_FEAST_PORT": found.get("port", "5432"),
        "TIDEGATE_FEAST_USER": found.get("user", ""),
        "TIDEGATE_FEAST_PASSWORD": found.get("password", ""),
        "TIDEGATE_FEAST_DATABASE": found.get("dbname", ""),
        "TIDEGATE_FEAST_SSLMODE": found.get("sslmode", "prefer"),
        "TIDEGATE_FEAST_REGISTRY_URL": render_url(found | {"options": options}, "postgresql+psycopg"),
    }
