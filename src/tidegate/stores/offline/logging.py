"""Where a feature service's log goes: a table of the offline store's database."""

from __future__ import annotations

from typing import Any

from feast.feature_logging import LoggingDestination
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.protos.feast.core.FeatureService_pb2 import LoggingConfig as LoggingConfigProto


class TidegateLoggingDestination(LoggingDestination):
    """A table, made on the first write; a feature that joins the service later gets its column then.

    The plain PostgreSQL store of Feast has no destination at all.
    """

    _proto_kind = "tidegate.stores.offline.TidegateLoggingDestination"

    def __init__(self, table: str) -> None:
        self.table = table

    @classmethod
    def from_proto(cls, config_proto: Any) -> TidegateLoggingDestination:
        """Return what the registry holds."""
        return cls(config_proto.custom_destination.config["table"])

    def to_proto(self) -> Any:
        """Return what the registry shall hold."""
        custom = LoggingConfigProto.CustomDestination(kind=self._proto_kind, config={"table": self.table})
        return LoggingConfigProto(custom_destination=custom)

    def to_data_source(self) -> PostgreSQLSource:
        """Return the log as a source that can be read."""
        return PostgreSQLSource(table=self.table)
