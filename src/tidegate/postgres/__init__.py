"""PostgreSQL for tidegate: its own embedded server, or any server by TIDEGATE_DATABASE_URL."""

from tidegate.postgres.database import Database, open_database
from tidegate.postgres.embedded import EmbeddedServer

__all__ = ["Database", "EmbeddedServer", "open_database"]
