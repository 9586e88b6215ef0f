"""`tidegate env`: the same database for programs that are not ours."""

from __future__ import annotations

import shlex

import typer

from tidegate.feature_store import settings_file
from tidegate.postgres import Database, open_database
from tidegate.postgres.database import embedded_server
from tidegate.postgres.variables import feast_variables, libpq_variables
from tidegate.settings import Settings, get_settings


def env() -> None:
    """Print exports so that plain alembic, celery, feast and psql use tidegate's database.

    Use it as eval "$(tidegate env)". The embedded server runs while somebody uses it, and psql and feast do
    not count: let it stay with `tidegate database start`.
    """
    settings = get_settings()
    with open_database(settings) as database:
        for name, value in exports(settings, database).items():
            typer.echo(f"export {name}={shlex.quote(value)}")
    if settings.database_url is None and not embedded_server(settings).status().running:
        typer.echo("# The server is not running now. Keep it running with: tidegate database start", err=True)


def exports(settings: Settings, database: Database) -> dict[str, str]:
    """Return the variables by name. Our own one comes first: it holds in any current folder."""
    own = {"TIDEGATE_HOME": str(settings.home)}
    if settings.database_url is not None:
        own = {"TIDEGATE_DATABASE_URL": database.conninfo}
    # Feast's own name for another feature_store.yaml; ours has the usual name and needs none.
    stock = {"FEAST_FS_YAML_FILE_PATH": str(settings_file())} if settings.feast_stores == "stock" else {}
    return own | libpq_variables(database) | feast_variables(database) | stock
