"""PostgreSQL for tidegate: its own embedded server, or any server by TIDEGATE_DATABASE_URL."""

from tidegate.postgres.database import Database, open_database
from tidegate.postgres.embedded import EmbeddedServer
from tidegate.postgres.outage import is_outage

__all__ = ["Database", "EmbeddedServer", "is_outage", "open_database"]
