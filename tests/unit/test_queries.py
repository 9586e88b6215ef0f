from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.queries import Queries, queries, read_blocks

FILE = """\
-- What this file is for.

-- first_thing --
-- Find the first thing.
select 1;

-- second_thing --
-- Find the second thing.
select 2  -- not a header -- really
"""


def test_a_block_is_found_by_its_name(tmp_path: Path):
    (tmp_path / "things.sql").write_text(FILE)
    assert Queries(tmp_path)["first_thing"] == "-- Find the first thing.\nselect 1;"


def test_a_comment_that_looks_like_a_header_stays_in_its_block():
    assert dict(read_blocks(FILE))["second_thing"].endswith("-- not a header -- really")


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path):
    (tmp_path / "things.sql").write_text(FILE)
    with pytest.raises(KeyError, match="first_thing, second_thing"):
        Queries(tmp_path)["third_thing"]


def test_a_name_that_stands_twice_is_refused(tmp_path: Path):
    (tmp_path / "a.sql").write_text(FILE)
    (tmp_path / "b.sql").write_text(FILE)
    with pytest.raises(ValueError, match=r"b\.sql: the block 'first_thing' exists already"):
        len(Queries(tmp_path))


@pytest.mark.parametrize("name", queries)
def test_every_query_says_what_it_does(name: str):
    description, _, statement = queries[name].partition("\n")
    assert description.startswith("-- ")
    assert statement.strip()
