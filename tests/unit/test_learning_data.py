from __future__ import annotations

import gzip
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from benchmarks.learning import movielens, sessions, tables
from benchmarks.learning.data import Asked, load
from benchmarks.learning.texts import embedder
from models.backtest.columns import Columns, Item, all_of, as_log
from models.backtest.prequential import rank_window
from tests.unit.models.logs import Fixed
from tidegate.errors import IngestError

EVENTS = """user,item,time,type,value
ann,tea,2024-01-02T00:00:00Z,purchase,3.5
bob,tea,100,view,
ann,milk,200,,
bob,tea,300,purchase,1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "events.csv").write_text(EVENTS)
    (tmp_path / "items.jsonl").write_text(
        '{"id": "tea", "text": "green tea", "category": "drinks"}\n'
        '{"id": "bread", "text": "rye bread", "category": "food", "born": 150}\n'
    )
    return tmp_path


def test_a_folder_of_events_and_items_is_a_log_in_order_of_time(folder: Path):
    log, _ = load(Asked(str(folder), text="none", windows=1))
    assert [log.users[u] for u in log.user] == ["bob", "ann", "bob", "ann"]
    assert log.time.tolist() == [100, 200, 300, 1_704_153_600]
    assert log.catalogue.item_ids == ("milk", "tea", "bread")
    assert log.about.born.tolist() == [-np.inf, -np.inf, 150]
    assert log.about.texts == ("", "green tea", "rye bread")
    assert log.about.category.tolist() == [-1, 0, 1]
    assert log.type.tolist() == [0, 1, 3, 3]  # what is not said is a click
    assert np.isnan(log.value[:2]).all()
    assert log.repeats


@pytest.mark.parametrize("form", ["tsv", "jsonl", "parquet", "csv.gz"])
def test_every_format_is_the_same_log(tmp_path: Path, form: str):
    path = tmp_path / f"events.{form}"
    rows = [dict(zip(EVENTS.split("\n")[0].split(","), line.split(","), strict=True)) for line in EVENTS.split()[1:]]
    match form:
        case "tsv":
            path.write_text(EVENTS.replace(",", "\t"))
        case "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case "parquet":
            import pyarrow
            from pyarrow.parquet import write_table

            write_table(pyarrow.Table.from_pylist(rows), path)
        case _:
            path.write_bytes(gzip.compress(EVENTS.encode()))
    log = as_log(tables.read(path))
    assert log.time.tolist() == [100, 200, 300, 1_704_153_600]
    assert [log.catalogue.item_ids[i] for i in log.item] == ["tea", "milk", "tea", "tea"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("user,thing,time\na,b,1\n", "no column item"),
        ("item,time\nb,1\n", "no column user"),
        ("user,item,time\na,b,yesterday\n", "'yesterday' is no time"),
        ("user,item,time,type\na,b,1,sneeze\n", "type sneeze"),
        ("user,item,time\na,b\n", "row 1"),
        ("user,item,time\n", "no events"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_is_wrong(tmp_path: Path, text: str, says: str):
    (tmp_path / "events.csv").write_text(text)
    with pytest.raises(IngestError, match=says):
        load(Asked(str(tmp_path / "events.csv"), text="none"))


def test_a_data_set_that_is_not_there_names_those_that_are():
    with pytest.raises(IngestError, match="There is no data nowhere") as caught:
        load(Asked("nowhere"))
    assert "ml-100k" in caught.value.next_step


def columns(taken: list[str], **said) -> Columns:
    size = len(taken)
    return Columns(
        np.array(["a"] * size),
        np.array(taken),
        np.arange(size) * 1.0,
        all_of("view", size),
        np.full(size, np.nan),
        **said,
    )


def test_where_nothing_is_taken_twice_only_the_first_time_counts():
    assert len(as_log(columns(["x", "y", "x"], repeats=False))) == 2
    assert as_log(columns(["x", "y", "x"])).repeats
    assert not as_log(columns([f"i{n}" for n in range(200)] + ["i0"])).repeats  # half a percent


def test_an_item_that_nobody_described_was_always_there():
    """Were it born with its first event, a method could tell that it is about to be taken."""
    log = as_log(columns(["x", "y"], items={"z": Item(born=0.5), "y": Item("a thing")}))
    assert log.catalogue.item_ids == ("x", "y", "z")
    assert log.catalogue_at(0.0).item_ids == ("x", "y")


def test_embeddings_are_kept_by_encoder_and_text(tmp_path: Path):
    asked: list[str] = []

    class Encoder:
        identity = "test@1"

        def encode(self, texts):
            asked.extend(texts)
            return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)

    first = embedder(Encoder(), tmp_path)(["tea", "bread", "tea"])
    again = embedder(Encoder(), tmp_path)(["bread", "salt", "tea"])
    assert first.tolist() == [[3, 1], [5, 1], [3, 1]]
    assert again.tolist() == [[5, 1], [4, 1], [3, 1]]
    assert asked == ["tea", "bread", "salt"]


def write_periods(folder: Path, layout: dict[str, str]) -> Path:
    for name, text in layout.items():
        (folder / name).write_text(text)
    return folder


def test_aders_layout_makes_the_first_period_the_base_and_each_later_one_a_window(tmp_path: Path):
    write_periods(
        tmp_path,
        {
            "period_0.txt": "1 10\n1 11\n2 10\n2 11\n",
            "period_1.txt": "1 11\n1 10\n1 12\n",
            "period_2.txt": "7 12\n7 10\n",
            "period_10.txt": "8 10\n8 12\n",
        },
    )
    log, windows = load(Asked(str(tmp_path), text="minilm"))
    assert [(w.start, w.stop) for w in windows] == [(4, 7), (7, 9), (9, 11)]
    assert log.sessions
    assert len(log.users) == 5  # session 1 of another period is another session
    assert [log.catalogue.item_ids[i] for i in log.item] == [
        "10",
        "11",
        "10",
        "11",
        "11",
        "10",
        "12",
        "12",
        "10",
        "10",
        "12",
    ]
    # Every prefix is scored: 11 -> 10, but not -> 12, which nobody had taken before; then 12 -> 10.
    assert rank_window(Fixed(), log, windows[0]).event.tolist() == [5]
    assert rank_window(Fixed(), log, windows[1]).event.tolist() == [8]


def test_a_period_in_parts_is_the_parts_together(tmp_path: Path):
    write_periods(
        tmp_path, {"train_1.txt": "1 10\n", "test_1.txt": "2 11\n", "train_2.txt": "3 10\n", "test_2.txt": "4 11\n"}
    )
    columns, edges = sessions.read(tmp_path)
    assert columns.item.tolist() == ["10", "11", "10", "11"]
    assert edges is not None
    assert len(edges) == 2


def test_one_file_of_sessions_is_cut_by_place(tmp_path: Path):
    (tmp_path / "clicks.txt").write_text("".join(f"{n // 3} {n % 5}\n" for n in range(60)))
    log, windows = load(Asked(str(tmp_path / "clicks.txt")))
    assert log.sessions
    assert (windows[0].start, windows[-1].stop, len(windows)) == (42, 60, 10)


def test_a_line_that_is_no_pair_is_named(tmp_path: Path):
    (tmp_path / "clicks.txt").write_text("1 2\n1 2 3\n")
    with pytest.raises(IngestError, match=r"clicks.txt, line 2"):
        sessions.read(tmp_path / "clicks.txt")


def test_a_column_session_makes_session_data(tmp_path: Path):
    (tmp_path / "clicks.csv").write_text("session,item,time\na,x,1\na,y,2\n")
    log = as_log(tables.read(tmp_path / "clicks.csv"))
    assert log.sessions
    assert log.repeats


@pytest.mark.skipif(find_spec("recbole") is None, reason="the package with MovieLens is not installed")
def test_movielens_is_what_it_says():
    log = as_log(movielens.read())
    assert (len(log), len(log.users), len(log.catalogue)) == (100_000, 943, 1_682)
    assert log.about.texts[log.catalogue.item_ids.index("1")] == "Toy Story (1995) | Animation Children's Comedy"
    assert not log.repeats
