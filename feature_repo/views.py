"""What is known of users, items and the two together: counts of behaviour, the catalogue, and what models say.

A name is a meaning for ever: a feature that shall mean something else gets another name, because versions that were
trained on the old one go on reading it.
"""

from datetime import timedelta

from feast import Entity, FeatureView, Field
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Array, Bool, Float32, Float64, Int64, String

from feature_repo.entities import item, stream, user
from feature_repo.sources import (
    catalogue_items,
    deployed_item_vectors,
    deployed_user_vectors,
    deployed_versions,
    item_activity_history,
    shown_scores,
    user_activity_history,
    user_item_activity_history,
)


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

# The names of a pair's features differ from a user's and an item's, so that one request may hold all three.
user_item_activity = FeatureView(
    name="user_item_activity",
    entities=[user, item],
    ttl=timedelta(0),
    schema=[
        count("pair_events", "Events of the user with the item."),
        Field(name="pair_decayed_day", dtype=Float64, description="The same, each halved every day."),
        Field(name="pair_decayed_week", dtype=Float64, description="The same, each halved every seven days."),
        Field(name="pair_decayed_month", dtype=Float64, description="The same, each halved every thirty days."),
        amount("pair_event_at", "Time of the row.", "seconds since 1970"),
    ],
    source=user_item_activity_history,
    description="What a user has done with an item: what repeat consumption is predicted from.",
    tags={"live": "features.pairs_now", "as_of": "pair_event_at"},
)

item_catalogue = FeatureView(
    name="item_catalogue",
    entities=[item],
    ttl=timedelta(0),
    schema=[
        Field(name="title", dtype=String, description="What the item is called."),
        Field(name="category", dtype=String, description="Where it belongs."),
        amount("price", "What it costs now.", "currency"),
        Field(name="available", dtype=Bool, description="Whether it may be recommended."),
    ],
    source=catalogue_items,
    description="What the application says of an item.",
    tags={"live": "catalogue.items"},
)


def said(
    name: str, entities: list[Entity], schema: list[Field], source: PostgreSQLSource, live: str, text: str
) -> FeatureView:
    """Return a view of what deployed models say. It does not expire: it holds until another version goes live."""
    return FeatureView(
        name=name,
        entities=entities,
        ttl=timedelta(0),
        schema=schema,
        source=source,
        description=text,
        tags={"live": live},
    )


live_version = said(
    "live_version",
    [stream],
    [
        Field(name="version_id", dtype=Int64, description="The version that answers."),
        Field(name="version_number", dtype=Int64, description="1, 2, 3 … within the stream."),
        Field(name="service", dtype=String, description="The feature service that it was trained on."),
        amount("trained_at", "When it was published.", "seconds since 1970"),
        amount("live_from", "Since when it answers.", "seconds since 1970"),
    ],
    deployed_versions,
    "serving.live_versions",
    "Which version answers for a stream.",
)

user_vectors = said(
    "user_vectors",
    [stream, user],
    [
        Field(name="user_vector", dtype=Array(Float32), description="The user as the version sees him."),
        Field(name="user_version", dtype=Int64, description="The version that the vector is of."),
        amount("seen_until", "Newest event in the vector.", "seconds since 1970"),
    ],
    deployed_user_vectors,
    "serving.live_user_vectors",
    "Vectors of the users who were active when the version was made.",
)

item_vectors = said(
    "item_vectors",
    [stream, item],
    [
        Field(name="item_vector", dtype=Array(Float32), description="The item as the version sees it."),
        Field(name="item_version", dtype=Int64, description="The version that the vector is of."),
    ],
    deployed_item_vectors,
    "serving.live_item_vectors",
    "Vectors of items: a score is the dot product with a user's vector of the same version.",
)

scores = said(
    "scores",
    [stream, user, item],
    [
        amount("score", "The score with which it is shown, or was.", "score"),
        Field(name="place", dtype=Int64, description="At which place, from 1."),
        Field(name="score_version", dtype=Int64, description="The version that answers, or did; none: popularity."),
    ],
    shown_scores,
    "serving.scores_now",
    "How an item is scored for a user: online as it would be shown now, in training as it was shown last.",
)
