"""The model families, and what each reads of Feast: the contract between definitions, training and look-up.

A family is one kind of model. Its service here is what training reads today; feature_repo/services.py defines it under
the same name, and a test keeps the two equal. A version's manifest names the service that it was trained on, so that a
later one does not change how it is looked up. What a family shall read from now on is a service with the next number,
there and here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Service:
    """A feature service as a version was trained on it."""

    name: str  # with its number: sequential_recommender@v1
    features: tuple[str, ...]  # view:feature, in any order

    @classmethod
    def of(cls, said: dict[str, Any] | None) -> Service:
        """Return what a manifest says; where it is from before manifests named a service, the only one there was."""
        return cls(said["name"], tuple(said["features"])) if said else SEQUENTIAL_RECOMMENDER

    def as_json(self) -> dict[str, Any]:
        """Return what a manifest says of it."""
        return {"name": self.name, "features": list(self.features)}


# models.recommender: the user's profile, beside the events themselves.
SEQUENTIAL_RECOMMENDER = Service(
    "sequential_recommender@v1",
    (
        "user_activity:n_view",
        "user_activity:n_click",
        "user_activity:n_cart",
        "user_activity:n_purchase",
        "user_activity:n_rating",
        "user_activity:decayed_day",
        "user_activity:decayed_week",
        "user_activity:decayed_month",
        "user_activity:spend",
        "user_activity:rating_sum",
        "user_activity:event_at",
    ),
)

# A user with an item at a moment. No model is trained on it yet: one that is names it in its manifest.
RANKER = Service(
    "ranker@v1",
    (
        "ranking:affinity",
        "ranking:popularity",
        "ranking:affinity_by_popularity",
        "ranking:pair_age_days",
        "ranking:price_to_mean_spend",
        "user_item_activity:pair_events",
        "user_item_activity:pair_decayed_week",
        "user_item_activity:pair_event_at",
        "user_vectors:user_version",
        "item_vectors:item_version",
    ),
)

FAMILIES = {"sequential_recommender": SEQUENTIAL_RECOMMENDER, "ranker": RANKER}
