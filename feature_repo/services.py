"""Which features a model family reads: one service for each, versioned as what it reads changes.

A version of a model names in its manifest the service that it was trained on, and is looked up by exactly that one.
So a service that was released is never edited: what a family shall read from now on is a service with the next number,
and the old one stays as long as a version may go live that was trained on it. The name without a number is the newest.
"""

from feast import FeatureService
from feast.base_feature_view import BaseFeatureView

from feature_repo.ranking import ranking
from feature_repo.views import item_vectors, user_activity, user_item_activity, user_vectors


def release(family: str, number: int, features: list[BaseFeatureView], description: str, **tags: str) -> FeatureService:
    """Return what a family reads as of a number."""
    return FeatureService(
        name=f"{family}@v{number}",
        features=features,
        description=description,
        tags={"family": family, "number": str(number), **tags},
    )


def newest(service: FeatureService, features: list[BaseFeatureView]) -> FeatureService:
    """Return the family's name without a number, for who explores: it moves on with the next release."""
    return FeatureService(
        name=service.tags["family"],
        features=features,
        description=f"{service.description} The same as {service.name}.",
        tags={"family": service.tags["family"], "same_as": service.name},
    )


PROFILE_V1 = [
    "n_view",
    "n_click",
    "n_cart",
    "n_purchase",
    "n_rating",
    "decayed_day",
    "decayed_week",
    "decayed_month",
    "spend",
    "rating_sum",
    "event_at",
]

SEQUENTIAL_RECOMMENDER_V1 = [user_activity[PROFILE_V1]]

sequential_recommender_v1 = release(
    "sequential_recommender",
    1,
    SEQUENTIAL_RECOMMENDER_V1,
    "The user's profile, beside the events themselves; items it knows by their text.",
    models="models.recommender",
)
sequential_recommender = newest(sequential_recommender_v1, SEQUENTIAL_RECOMMENDER_V1)

RANKER_V1 = [
    ranking,
    user_item_activity[["pair_events", "pair_decayed_week", "pair_event_at"]],
    user_vectors[["user_version"]],
    item_vectors[["item_version"]],
]

ranker_v1 = release(
    "ranker", 1, RANKER_V1, "A user with an item at a moment: for a ranker over what the recommender retrieves."
)
ranker = newest(ranker_v1, RANKER_V1)
