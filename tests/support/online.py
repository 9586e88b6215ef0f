"""Feast's own PostgreSQL store and ours beside each other: the same definitions, the same rows, the same requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.repo_config import RepoConfig
from feast.type_map import python_values_to_proto_values
from feast.types import Int64, String

from tidegate.postgres import Database

STOCK = "postgres"
OURS = "tidegate.stores.online.TidegateOnlineStore"
USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
ITEM = Entity(name="item", join_keys=["item_id"], value_type=ValueType.STRING)
KEY_TYPES = {ValueType.STRING: String, ValueType.INT64: Int64}
FOREVER = timedelta(0)


def source(name: str) -> FileSource:
    """Return a source that nobody reads."""
    return FileSource(name=f"{name}_source", path=f"{name}.parquet", timestamp_field="event_timestamp")


def view(name: str, entities: Sequence[Entity], features: dict[str, Any], ttl: timedelta = FOREVER) -> FeatureView:
    """Return a feature view with typed features; a feature may be a whole Field."""
    keys = [Field(name=entity.join_key, dtype=KEY_TYPES[entity.value_type]) for entity in entities]
    fields = [kind if isinstance(kind, Field) else Field(name=key, dtype=kind) for key, kind in features.items()]
    return FeatureView(name=name, entities=list(entities), schema=[*keys, *fields], source=source(name), ttl=ttl)


def store(
    database: Database, folder: Path, kind: str, project: str = "shop", versions: bool = False, **settings: Any
) -> FeatureStore:
    """Return a Feast store whose registry is a file, online in the database."""
    folder.mkdir(parents=True, exist_ok=True)
    registry = {
        "registry_type": "file",
        "path": str(folder / "registry.db"),
        "cache_ttl_seconds": 600,
        "enable_online_feature_view_versioning": versions,
    }
    return FeatureStore(
        config=RepoConfig(
            project=project,
            provider="local",
            registry=registry,
            online_store={**online_settings(database, kind), **settings},
            offline_store={"type": "file"},
            entity_key_serialization_version=3,
            repo_path=folder,
        )
    )


def online_settings(database: Database, kind: str) -> dict[str, Any]:
    """Return an `online_store` as feature_store.yaml has it."""
    given = database.parameters
    return {
        "type": kind,
        "host": given["host"],
        "port": int(given.get("port", 5432)),
        "database": given["dbname"],
        "user": given["user"],
        "password": given.get("password", ""),
        "sslmode": "disable",
        "db_schema": "stock" if kind == STOCK else "ours",
    }


@dataclass(frozen=True)
class Both:
    """The two stores."""

    stock: FeatureStore
    ours: FeatureStore

    def apply(self, *definitions: Any) -> None:
        """Apply the same definitions to both."""
        for one in (self.stock, self.ours):
            one.apply(list(definitions))

    def write(self, name: str, rows: Sequence[dict[str, Any]], at: datetime) -> None:
        """Write the same rows to both; a row may bring an event_timestamp of its own."""
        for one in (self.stock, self.ours):
            write(one, name, rows, at)

    def answers(self, features: Any, rows: Any, **options: Any) -> tuple[Any, Any]:
        """Return both answers to a request."""
        asked = [self.stock.get_online_features(features, rows, **options)]
        asked.append(self.ours.get_online_features(features, rows, **options))
        return asked[0], asked[1]

    def close(self) -> None:
        """Close what both opened."""
        for one in (self.stock, self.ours):
            close(one)


def write(one: FeatureStore, name: str, rows: Sequence[dict[str, Any]], at: datetime) -> None:
    """Write rows to a store as an engine does: as protos, straight to its online store."""
    one._get_provider().online_write_batch(*prepared(one, name, rows, at), None)


def prepared(one: FeatureStore, name: str, rows: Sequence[dict[str, Any]], at: datetime) -> tuple[Any, Any, list[Any]]:
    """Return what an engine hands to an online store: its settings, the view, and the rows as protos."""
    kept = one.get_feature_view(name)
    kinds = {field.name: field.dtype.to_value_type() for field in kept.schema}
    keys = [column.name for column in kept.entity_columns]
    data = []
    for row in rows:
        protos = {key: python_values_to_proto_values([row[key]], kinds[key])[0] for key in row if key in kinds}
        entity = EntityKey(join_keys=keys, entity_values=[protos[key] for key in keys])
        values = {feature: proto for feature, proto in protos.items() if feature not in keys}
        data.append((entity, values, row.get("event_timestamp", at), row.get("created", None)))
    return one.config, kept, data


def close(one: FeatureStore) -> None:
    """Close a store's connections."""
    online = one._get_provider().online_store
    if hasattr(online, "disconnect"):
        online.disconnect()
        return
    for name in ("_conn", "_conn_pool"):
        if getattr(online, name) is not None:
            getattr(online, name).close()
            setattr(online, name, None)


def vectors(answer: Any) -> dict[str, Any]:
    """Return a proto's vectors by name: Feast's order of features differs between processes."""
    return dict(zip(answer.proto.metadata.feature_names.val, answer.proto.results, strict=True))


def assert_same(stock: Any, ours: Any) -> None:
    """Fail unless values, statuses and times are the same."""
    assert ours.to_dict(include_event_timestamps=True) == stock.to_dict(include_event_timestamps=True)
    assert vectors(ours) == vectors(stock)
