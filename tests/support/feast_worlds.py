"""Small worlds in Feast: definitions, rows, and the same project on Feast's own stores and on ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tidegate.postgres import Database

START = datetime(2026, 1, 1, tzinfo=UTC)
STOCK = "postgres"
OURS = "tidegate.stores.offline.TidegateOfflineStore"


def hours(n: float) -> datetime:
    """Return a time some hours after the start."""
    return START + timedelta(hours=n)


def reached(database: Database) -> dict[str, Any]:
    """Return a database as Feast's settings name it."""
    found = database.parameters
    return {
        "host": found["host"],
        "port": int(found.get("port", 5432)),
        "database": found["dbname"],
        "user": found["user"],
        "password": found.get("password", "") or "unused",
        "sslmode": "disable",
        "db_schema": "public",
    }


def store_on(
    database: Database, folder: Path, offline: str = OURS, online: dict[str, Any] | None = None, **settings: Any
) -> Any:
    """Return a feature store with a registry of its own; `settings` are the offline store's."""
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

    folder.mkdir(parents=True, exist_ok=True)
    engine = settings.pop("batch_engine", None)
    return FeatureStore(
        config=RepoConfig(
            project="world",
            provider="local",
            registry=str(folder / "registry.db"),
            online_store=None if online is None else {**reached(database), **online},
            offline_store={"type": offline, **reached(database), **settings},
            entity_key_serialization_version=3,
            **({"batch_engine": engine} if engine else {}),
        )
    )
