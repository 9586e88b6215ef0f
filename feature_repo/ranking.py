"""What can be said of a user and an item only when both are known, and the moment: computed when asked.

Feast keeps the text of `ranking` in its registry and runs it there without this file, so it refers to nothing outside
itself.
"""

from feast import Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64

from feature_repo.views import (
    item_activity,
    item_catalogue,
    item_vectors,
    user_activity,
    user_item_activity,
    user_vectors,
)

asking = RequestSource(
    name="asking",
    schema=[Field(name="asked_at", dtype=Float64)],
    description="The moment of the question, in seconds since 1970. Rows of training give their own.",
)

# Without descriptions: Feast compares these fields with what it infers from a trial run, descriptions included.
RANKING = [
    Field(name="affinity", dtype=Float64),  # user vector . item vector, if both are of one version
    Field(name="popularity", dtype=Float64),  # ln(1 + events of the week), as of asked_at
    Field(name="affinity_by_popularity", dtype=Float64),  # their product
    Field(name="pair_age_days", dtype=Float64),  # since the user's last event with the item
    Field(name="price_to_mean_spend", dtype=Float64),  # by the user's mean purchase
]


@on_demand_feature_view(
    sources=[
        user_activity[["spend", "n_purchase"]],
        item_activity[["decayed_week", "event_at"]],
        user_item_activity[["pair_event_at"]],
        item_catalogue[["price"]],
        user_vectors[["user_vector", "user_version"]],
        item_vectors[["item_vector", "item_version"]],
        asking,
    ],
    schema=RANKING,
    mode="python",
    description="What a ranker reads of a user with an item. Unknown where a part of it is.",
    tags={"unknown": "null"},
)
def ranking(inputs: dict) -> dict:
    """Return a list for each feature from a list for each input: one row for each user and item."""
    import numpy as np

    def numbers(name):
        return np.array([np.nan if value is None else value for value in inputs[name]], dtype=np.float64)

    def known(values):
        return [None if unknown else value for value, unknown in zip(values.tolist(), np.isnan(values), strict=True)]

    def dot(user, item, comparable):
        return np.dot(user, item) if comparable and user is not None and item is not None else np.nan

    same = numbers("user_version") == numbers("item_version")
    affinity = np.array(list(map(dot, inputs["user_vector"], inputs["item_vector"], same)), dtype=np.float64)
    weeks = np.clip((numbers("asked_at") - numbers("event_at")) / 604_800, 0, 200)
    popularity = np.log1p(numbers("decayed_week") * 2.0**-weeks)
    spend = np.where(numbers("spend") > 0, numbers("spend"), np.nan)
    return {
        "affinity": known(affinity),
        "popularity": known(popularity),
        "affinity_by_popularity": known(affinity * popularity),
        "pair_age_days": known((numbers("asked_at") - numbers("pair_event_at")) / 86_400),
        "price_to_mean_spend": known(numbers("price") * numbers("n_purchase") / spend),
    }
