"""Which features a model family reads: one service for each."""

from feast import FeatureService

from feature_repo.views import user_activity

PROFILE = [
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

sequential_recommender = FeatureService(
    name="sequential_recommender",
    features=[user_activity[PROFILE]],
    description="The user's profile, beside the events themselves; items it knows by their text.",
    tags={"models": "models.recommender"},
)
