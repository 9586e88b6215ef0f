"""What is known of users and items: the same counts of behaviour, seen from either side."""

from datetime import timedelta

from feast import Entity, FeatureView, Field
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Float64, Int64

from feature_repo.entities import item, user
from feature_repo.sources import item_activity_history, user_activity_history


def count(name: str, description: str) -> Field:
    """Return a feature that counts events."""
    return Field(name=name, dtype=Int64, description=description, tags={"unit": "events"})


def decayed(name: str, description: str) -> Field:
    """Return a feature that forgets: it is as of the row's own time, and the reader's to bring forward."""
    return Field(name=name, dtype=Float64, description=description, tags={"unit": "events", "as_of": "event_at"})


def amount(name: str, description: str, unit: str) -> Field:
    """Return a feature in some unit."""
    return Field(name=name, dtype=Float64, description=description, tags={"unit": unit})


ACTIVITY = [
    count("n_events", "Events of any type."),
    count("n_view", "Views."),
    count("n_click", "Clicks."),
    count("n_cart", "Additions to a cart."),
    count("n_purchase", "Purchases."),
    count("n_rating", "Ratings."),
    decayed("decayed_day", "Events, each halved every day."),
    decayed("decayed_week", "Events, each halved every seven days."),
    decayed("decayed_month", "Events, each halved every thirty days."),
    amount("spend", "Sum of the values of purchases.", "currency"),
    amount("rating_sum", "Sum of the values of ratings.", "stars"),
    amount("event_at", "Time of the row.", "seconds since 1970"),
]


def activity(name: str, entity: Entity, source: PostgreSQLSource, description: str) -> FeatureView:
    """Return a view of activity.

    It never expires: what an old row is worth is for the model to learn, by its age.
    """
    return FeatureView(
        name=name,
        entities=[entity],
        ttl=timedelta(0),
        schema=ACTIVITY,
        source=source,
        description=description,
        tags={"live": f"features.{name}", "materialised": "window by window"},
    )


user_activity = activity("user_activity", user, user_activity_history, "What a user has done so far.")
item_activity = activity("item_activity", item, item_activity_history, "What users have done with an item.")
