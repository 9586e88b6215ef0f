"""How the columns of a file become ours."""

from __future__ import annotations

import pytest

from tidegate.errors import IngestError
from tidegate.ingest import plan


def test_columns_with_our_names_need_no_mapping() -> None:
    reading = plan("events", ["item_id", "user_id", "event_type", "store"], {}, {})
    assert reading.mapping == {name: name for name in ("user_id", "item_id", "event_type")}


def test_a_mapping_and_constants_fill_the_rest() -> None:
    reading = plan("events", ["who", "what"], {"user_id": "who", "item_id": "what"}, {"event_type": "view"})
    assert reading.row({"who": "a", "what": "tea"}) == {
        "user_id": "a",
        "item_id": "tea",
        "event_type": "view",
    }


def test_kept_columns_join_the_context() -> None:
    columns = ["user_id", "item_id", "event_type", "context", "store", "till"]
    reading = plan("events", columns, {}, {}, ["*"])
    row = reading.row(
        {
            "user_id": "a",
            "item_id": "b",
            "event_type": "view",
            "context": '{"x": 1}',
            "store": "s",
            "till": "",
        }
    )
    assert row["context"] == {"x": 1, "store": "s"}


def test_a_missing_column_names_the_columns_there_are() -> None:
    with pytest.raises(
        IngestError, match=r"No column is user_id\. The file has: who, what\. Name it with --map user_id="
    ):
        plan("events", ["who", "what"], {}, {})


@pytest.mark.parametrize(
    ("mapping", "constants", "keep"),
    [
        ({"user_id": "nobody"}, {}, []),
        ({"user": "who"}, {}, []),
        ({}, {"kind": "view"}, []),
        ({}, {}, ["nothing"]),
    ],
)
def test_a_misspelt_name_is_refused(mapping: dict[str, str], constants: dict[str, str], keep: list[str]) -> None:
    columns = ["who", "user_id", "item_id", "event_type"]
    with pytest.raises(IngestError, match=r"nobody|user|kind|nothing"):
        plan("events", columns, mapping, constants, keep)
