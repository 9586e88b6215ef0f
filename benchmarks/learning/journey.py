"""Complete Journey: a year of grocery baskets, the products with 50 or more purchases in the base period."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.backtest.columns import Columns, Item, all_of
from tidegate.demo.journey import read_journey


def read(quick: bool = False) -> Columns:
    """Return the purchases as events; people buy again. `quick` keeps some households. Raises MissingPackage."""
    journey = read_journey(quick)
    return Columns(
        user=journey.households,
        item=journey.items,
        time=journey.times.astype("datetime64[us]").astype(np.int64) / 1e6,
        type=all_of("purchase", len(journey)),
        value=journey.values.astype(np.float32),
        items={product["item_id"]: described(product) for product in journey.products},
        repeats=True,
    )


def described(product: dict[str, Any]) -> Item:
    """Return the text of a product as the workers write it: title, category, attributes."""
    parts = [product["title"], product["category"], *product["attributes"].values()]
    return Item(" | ".join(part for part in parts if part), product["category"])
