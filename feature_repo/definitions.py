"""Everything that `feast apply` registers: the one file it reads, see .feastignore."""

from feast import Project

from feature_repo.entities import item, stream, user
from feature_repo.ranking import ranking
from feature_repo.services import ranker, ranker_v1, sequential_recommender, sequential_recommender_v1
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
from feature_repo.views import (
    item_activity,
    item_catalogue,
    item_vectors,
    live_version,
    scores,
    user_activity,
    user_item_activity,
    user_vectors,
)

tidegate = Project(
    name="tidegate",
    description="What users do, how popular items are and what models make of it, for recommenders that keep learning.",
)

__all__ = [
    "catalogue_items",
    "deployed_item_vectors",
    "deployed_user_vectors",
    "deployed_versions",
    "item",
    "item_activity",
    "item_activity_history",
    "item_catalogue",
    "item_vectors",
    "live_version",
    "ranker",
    "ranker_v1",
    "ranking",
    "scores",
    "sequential_recommender",
    "sequential_recommender_v1",
    "shown_scores",
    "stream",
    "tidegate",
    "user",
    "user_activity",
    "user_activity_history",
    "user_item_activity",
    "user_item_activity_history",
    "user_vectors",
]
