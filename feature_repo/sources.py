"""Where features come from: the history tables, which materialising a window appends to.

A row at event_timestamp counts the events at that time too, so it holds from just after it. Who wants
features strictly before a moment asks for the microsecond before.
"""

from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource

# Feast's answers leave out the time of the row they come from, and a decayed count means nothing without it.
QUERY = "select h.*, extract(epoch from h.event_timestamp)::float8 as event_at from features.{} h"


def history(table: str, description: str) -> PostgreSQLSource:
    """Return a history table as a source, with the time of each row as a column that can be a feature."""
    return PostgreSQLSource(
        name=table,
        query=QUERY.format(table),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_at",
        description=description,
        tags={"table": f"features.{table}"},
    )


user_activity_history = history("user_activity_history", "A row after each moment of a user.")
item_activity_history = history("item_activity_history", "A row at the last event of each day of an item.")
