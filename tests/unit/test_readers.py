"""CSV, JSON lines and Parquet are rows by column name; what is no row says so."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidegate.errors import IngestError
from tidegate.readers import Source, Unreadable, open_source

ROWS = [{"user_id": "a", "n": "1"}, {"user_id": "b", "n": "2"}, {"user_id": "c", "n": "3"}]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_the_header_tells_the_delimiter(tmp_path: Path, delimiter: str) -> None:
    lines = [delimiter.join(("user_id", "n")), *(delimiter.join(row.values()) for row in ROWS)]
    source = open_source(write(tmp_path / "events.csv", "\n".join(lines)))
    assert source.columns() == ["user_id", "n"]
    assert list(source.rows()) == ROWS
    assert list(source.rows(skip=2)) == ROWS[2:]


def test_a_mark_at_the_beginning_and_quotes_are_understood(tmp_path: Path) -> None:
    text = '\ufeffuser_id,title\r\na,"two\nlines, and ""quotes"""\r\n'
    source = open_source(write(tmp_path / "items.csv", text))
    assert list(source.rows()) == [{"user_id": "a", "title": 'two\nlines, and "quotes"'}]


def test_a_line_with_other_cells_than_the_header_is_unreadable(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "e.csv", "user_id,n\na,1\nb\n\nc,3,4\n"))
    assert [row for row in source.rows() if isinstance(row, Unreadable)] == [
        Unreadable("b", "the line has 1 cells, the header 2"),
        Unreadable("c,3,4", "the line has 3 cells, the header 2"),
    ]


def test_json_lines_may_lack_columns_and_broken_lines_are_unreadable(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "e.jsonl", '{"a": 1}\n\n{"b": [2]}\n{oops\n[1]\n'))
    assert source.columns() == ["a", "b"]
    rows = list(source.rows())
    assert rows[:2] == [{"a": 1}, {"b": [2]}]
    assert rows[2:] == [
        Unreadable("{oops", "the line is not JSON"),
        Unreadable("[1]", "the line is not a JSON object"),
    ]


def test_parquet_keeps_types_and_goes_on_within_a_row_group(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    times = pa.array([datetime(2024, 1, day, tzinfo=UTC) for day in range(1, 11)], pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table({"user_id": list(range(10)), "at": times}), path, row_group_size=4)
    source = open_source(path)
    assert source.columns() == ["user_id", "at"]
    assert [row["user_id"] for row in source.rows(skip=5) if isinstance(row, dict)] == [5, 6, 7, 8, 9]
    assert source.position == source.size == 10


def test_a_packed_file_is_read_as_what_it_packs(tmp_path: Path) -> None:
    path = tmp_path / "events.csv.gz"
    path.write_bytes(gzip.compress(b"user_id,n\na,1\n"))
    assert list(open_source(path).rows()) == [{"user_id": "a", "n": "1"}]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("e.csv", b"", "is empty"),
        ("e.csv", b"user_id\n\xff\xfe\n", "is not utf-8 text"),
        ("e.csv.gz", b"user_id\n", "is damaged"),
        ("e.parquet", b"user_id\n", "is no Parquet file"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(IngestError, match=said):
        read_all(open_source(tmp_path / name))


def read_all(source: Source) -> None:
    source.columns()
    list(source.rows())


def test_a_file_without_a_telling_extension_asks_for_the_format(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match="--format"):
        open_source(write(tmp_path / "events.dat", "a"))
    assert open_source(write(tmp_path / "events.dat", "a"), "csv").form == "csv"
