"""What Feast's tests are told of our stores: FULL_REPO_CONFIGS_MODULE names this module.

It runs inside Feast's checkout, where `tests` is Feast's package. Each environment has a schema of its own.
"""

from __future__ import annotations

import json
import os
from typing import Any
from uuid import uuid4

import pandas as pd
import psycopg
from feast.data_source import DataSource
from feast.feature_logging import LoggingDestination
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
    SavedDatasetPostgreSQLStorage,
)
from feast.infra.utils.postgres.connection_utils import df_to_postgres_table
from feast.repo_config import FeastConfigBaseModel
from feast.saved_dataset import SavedDatasetStorage

from tests.universal.feature_repos.universal.data_source_creator import DataSourceCreator
from tests.universal.feature_repos.universal.online_store_creator import OnlineStoreCreator
from tidegate.stores.offline import TidegateLoggingDestination, TidegateOfflineStoreConfig

SERVER: dict[str, Any] = json.loads(os.environ["UNIVERSAL_SERVER"])
ONLINE = os.environ["UNIVERSAL_ONLINE"]


class Schema:
    """A schema that is made for one environment and goes with it."""

    def __init__(self, prefix: str) -> None:
        self.name = f"{prefix}_{uuid4().hex[:12]}"
        self._run(f'create schema "{self.name}"')

    @property
    def settings(self) -> dict[str, Any]:
        """Where it is, in the words of Feast's configuration."""
        return {**SERVER, "db_schema": self.name}

    def drop(self) -> None:
        """Remove it with all that the tests left in it."""
        self._run(f'drop schema if exists "{self.name}" cascade')

    def _run(self, statement: str) -> None:
        server = {**SERVER, "dbname": SERVER["database"]}
        del server["database"]
        with psycopg.connect(**server, autocommit=True) as connection:
            connection.execute(statement)


class OnlineCreator(OnlineStoreCreator):
    """The online store under test."""

    def create_online_store(self) -> dict[str, Any]:
        """Return its configuration, in a new schema."""
        os.environ["FEAST_IS_LOCAL_TEST"] = "False"  # from now on: some tests do nothing on what they think is a laptop
        self._schema = Schema("online")
        return {"type": ONLINE, "vector_enabled": True, **self._schema.settings}

    def teardown(self) -> None:
        """Remove its schema."""
        self._schema.drop()


class OfflineCreator(DataSourceCreator):
    """The offline store under test, with its sources in a new schema."""

    def __init__(self, project_name: str, *_: Any, **__: Any) -> None:
        super().__init__(project_name)
        self._schema = Schema("offline")
        self._config = TidegateOfflineStoreConfig(**self._schema.settings)

    def create_data_source(
        self,
        df: pd.DataFrame,
        destination_name: str,
        created_timestamp_column: str = "created_ts",
        field_mapping: dict[str, str] | None = None,
        timestamp_field: str | None = "ts",
    ) -> DataSource:
        """Write a frame to a table and return the table as a source."""
        table = self._prefixed(destination_name)
        df_to_postgres_table(self._config, as_json(df), table)
        return PostgreSQLSource(
            name=table,
            table=table,
            timestamp_field=timestamp_field,
            created_timestamp_column=created_timestamp_column,
            field_mapping=field_mapping or {"ts_1": "ts"},
        )

    def create_offline_store_config(self) -> FeastConfigBaseModel:
        """Return the configuration."""
        return self._config

    def create_saved_dataset_destination(self) -> SavedDatasetStorage:
        """Return where a data set is kept."""
        return SavedDatasetPostgreSQLStorage(table_ref=self._prefixed("persisted"))

    def create_logged_features_destination(self) -> LoggingDestination:
        """Return where served features are logged."""
        return TidegateLoggingDestination(table=self._prefixed("logged"))

    def teardown(self) -> None:
        """Remove the schema."""
        self._schema.drop()

    def _prefixed(self, suffix: str) -> str:
        return f"{self.project_name}_{suffix}"


def as_json(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with its maps as JSON texts: a column of PostgreSQL takes no Python dict."""
    frame = frame.copy()
    for column in frame.columns:
        if frame[column].map(_has_maps).any():
            frame[column] = frame[column].map(lambda value: None if value is None else json.dumps(value, default=str))
    return frame


def _has_maps(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(part, dict) for part in value))


class Called(dict[str, Any]):
    """One store under several names: tests that ask for a store by name get it, all others get it once."""

    def values(self) -> Any:
        """Return the store once."""
        return list(super().values())[:1]


# The names by which tests ask for a store with what ours has. `redis` has a guard by event time, `mongodb` is
# asynchronous, `sqlite` has every type.
NAMES = ("sqlite", "pgvector", "postgres", "mongodb", "redis")
AVAILABLE_ONLINE_STORES = Called(dict.fromkeys(NAMES, ({"type": ONLINE}, OnlineCreator)))
AVAILABLE_OFFLINE_STORES = [("local", OfflineCreator)]
