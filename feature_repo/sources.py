"""Where features come from: the history that windows append to, the catalogue, and what deployed models say.

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

PAIRS = """
select h.user_id, h.item_id, h.event_timestamp, h.created_at, h.n_events as pair_events,
       h.decayed_day as pair_decayed_day, h.decayed_week as pair_decayed_week, h.decayed_month as pair_decayed_month,
       extract(epoch from h.event_timestamp)::float8 as pair_event_at, h.position
  from features.user_item_activity_history h"""

user_item_activity_history = PostgreSQLSource(
    name="user_item_activity_history",
    query=PAIRS,
    timestamp_field="event_timestamp",
    created_timestamp_column="created_at",
    description="A row after each moment of a user with an item.",
    tags={"table": "features.user_item_activity_history"},
)

# The catalogue keeps no former prices: an earlier moment gets none, never one from its future.
ITEMS = "select item_id, title, category, price, available, updated_at as event_timestamp from catalogue.items"

catalogue_items = PostgreSQLSource(
    name="catalogue_items",
    query=ITEMS,
    timestamp_field="event_timestamp",
    description="The catalogue as it is.",
    tags={"table": "catalogue.items"},
)


def said(name: str, description: str) -> PostgreSQLSource:
    """Return a view of the schema `serving` as a source: what models said.

    It holds from the moment at which the model went live, so point-in-time retrieval finds who answered then.
    """
    return PostgreSQLSource(
        name=name,
        table=f"serving.{name}",
        timestamp_field="event_timestamp",
        description=description,
        tags={"view": f"serving.{name}"},
    )


deployed_versions = said("deployed_versions", "A row for each deployment.")
deployed_user_vectors = said("deployed_user_vectors", "User vectors of each deployment.")
deployed_item_vectors = said("deployed_item_vectors", "Item vectors of each deployment.")
shown_scores = said("shown_scores", "A row for each item of each impression.")
