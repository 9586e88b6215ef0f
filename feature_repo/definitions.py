"""Everything that `feast apply` registers: the one file it reads, see .feastignore."""

from feast import Project

from feature_repo.entities import item, user
from feature_repo.services import sequential_recommender
from feature_repo.sources import item_activity_history, user_activity_history
from feature_repo.views import item_activity, user_activity

tidegate = Project(
    name="tidegate",
    description="What users do and how popular items are, for recommenders that keep learning.",
)

__all__ = [
    "item",
    "item_activity",
    "item_activity_history",
    "sequential_recommender",
    "tidegate",
    "user",
    "user_activity",
    "user_activity_history",
]
