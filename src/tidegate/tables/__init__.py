"""The tables of the five schemas, as SQLAlchemy metadata, a module a schema (two for `learning`).

The migrations make the tables; this package exists so that a test can prove that both say the same, and so that a
reader finds every column, constraint and comment in one place. Behaviour (triggers, functions) lives in migrations/sql.
"""

from tidegate.tables import catalogue, features, ingest, learning, serving, versions
from tidegate.tables.columns import SCHEMAS, metadata

__all__ = ["SCHEMAS", "catalogue", "features", "ingest", "learning", "metadata", "serving", "versions"]
