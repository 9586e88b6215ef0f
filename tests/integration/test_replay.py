"""A version trained again from its manifest has the same weights, whatever has happened since."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from tests.support.databases import clone, drop
from tests.support.learning import one
from tests.support.processes import tidegate
from tests.support.shop import Shop
from tidegate import feature_store
from tidegate.errors import BadRequest
from tidegate.families import SEQUENTIAL_RECOMMENDER
from tidegate.postgres import Database
from workers.increment import Learner
from workers.replay import replay

pytestmark = pytest.mark.timeout(300)  # a language model is loaded


@dataclass
class Story:
    """A shop with three versions, and all that must not matter to them."""

    database: Database
    connection: psycopg.Connection[Any]
    versions: list[int] = field(default_factory=list)


@pytest.fixture(scope="module")
def told(server: Database, applied: Database) -> Iterator[Story]:
    """Train three versions beside a parked window; then edit, add, retry and go on."""
    database = clone(server, "replayed", applied.parameters["dbname"])
    with database.connect(autocommit=True) as connection:
        story = Story(database, connection)
        shop = Shop(connection, Learner(database))
        tell(story, shop)
        yield story
    drop(server, database)


def tell(story: Story, shop: Shop) -> None:
    """Let a year go by."""
    ask = story.connection.execute
    shop.stock()
    shop.sell(days=8)
    shop.cut()
    story.versions.append(shop.train())
    shop.sell(days=3)
    poison = shop.cut()
    ask("update learning.windows set state = 'parked', reason = 'poison', finished_at = now()"
        " where window_id = %s", [poison])  # fmt: skip
    ask("insert into catalogue.items (item_id, title) values ('mango', 'a ripe mango'), ('silent', null)")
    shop.extra = ["mango", "unlisted"]
    for _ in range(2):
        shop.sell(days=3)
        shop.cut()
        story.versions.append(shop.train())
    ask("update catalogue.items set title = 'something else entirely'")
    ask("insert into catalogue.items (item_id, title) values ('papaya', 'a papaya')")
    ask("""update learning.streams set settings = '{"epochs": 3, "rate": 0.1}'""")
    ask("select learning.retry_window(%s)", [poison])
    story.versions.append(shop.train())
    shop.insert([("user-1", "saw", "purchase", 1.0, "2026-01-02")])  # late: it counts from the newest row on
    shop.sell(days=2)
    shop.cut()
    story.versions.append(shop.train())


@pytest.fixture
def story(told: Story, server: Database) -> Iterator[Story]:
    """A copy of the story that a test may spoil."""
    told.connection.close()
    feature_store.close()  # a database is copied while nobody is connected to it
    database = clone(server, "spoilt", told.database.parameters["dbname"])
    with database.connect(autocommit=True) as connection:
        yield Story(database, connection, told.versions)
    feature_store.close()
    drop(server, database)


def test_every_version_has_the_same_weights_again(told: Story) -> None:
    with told.database.connect(autocommit=True) as connection:
        before = one(connection, "select count(*) from learning.versions")
        results = [replay(told.database, version) for version in told.versions]
        after = one(connection, "select count(*) from learning.versions")
        parents = one(connection, "select count(distinct parent_id) from learning.versions")
    assert [(result.equal, result.findings) for result in results] == [(True, [])] * 5
    assert before == after == 5
    assert parents >= 2, "the story is about versions that continue from others"


def test_a_parked_window_is_in_no_later_version_until_it_is_retried(story: Story) -> None:
    rows = story.connection.execute(
        "select manifest -> 'excluded', jsonb_path_query_array(manifest, '$.windows[*].window_id')"
        " from learning.versions order by version_id"
    ).fetchall()
    assert [excluded for excluded, _ in rows][:3] == [[], [2], [2]]
    assert 2 not in rows[1][1] + rows[2][1]
    assert 2 in rows[3][1]


def test_the_manifest_names_all_that_it_takes(story: Story) -> None:
    said = one(story.connection, "select manifest from learning.versions where number = 3")
    assert said["service"] == SEQUENTIAL_RECOMMENDER.as_json()
    assert {"windows", "replayed", "excluded", "read", "seed", "settings", "code", "libraries", "device"} <= set(said)
    assert all(len(window["content_hash"]) == 64 for window in said["windows"])
    assert said["parent_hash"] == one(
        story.connection, "select weights_hash from learning.versions where version_id = %s", [said["parent_id"]]
    )
    assert len(said["code"]["hash"]) == 64
    assert said["device"]["threads"] == 1


def test_an_event_that_was_changed_names_its_window(story: Story) -> None:
    story.connection.execute(
        "update ingest.behaviour_events set value = value + 1 where event_id ="
        " (select min(event_id) from learning.read_window(3))"
    )
    result = replay(story.database, story.versions[1])
    assert result.equal, "the timelines are untouched"
    assert not result.good
    assert [(f.about, "window 3" in f.text) for f in result.findings] == [("rows", True)]


def test_a_timeline_that_was_changed_names_its_window(story: Story) -> None:
    story.connection.execute(
        "update features.user_timelines set item_ids[1] = 'axe' where user_id = 'user-0' and position ="
        " (select position from learning.windows where window_id = 3)"
    )
    result = replay(story.database, story.versions[1])
    assert not result.equal
    assert any(f.about == "rows" and f.text.startswith("window 3") for f in result.findings)


def test_a_feature_that_was_changed_is_said(story: Story) -> None:
    story.connection.execute("update features.user_activity_history set spend = 1000000 where position = 3")
    result = replay(story.database, story.versions[1])
    assert [f.about for f in result.findings] == ["rows"]
    assert "features" in result.findings[0].text


def test_weights_that_were_changed_are_said(story: Story) -> None:
    story.connection.execute("alter table learning.weights drop constraint weights_named_by_their_hash")
    story.connection.execute(
        "update learning.weights set content = set_byte(content, 100000, get_byte(content, 100000) # 1)"
        " where weights_hash = (select weights_hash from learning.versions where number = 1)"
    )
    for version in story.versions[:2]:  # its own, and as a parent
        result = replay(story.database, version)
        assert not result.equal
        assert [f.about for f in result.findings] == ["weights"]


def test_texts_whose_embedding_was_not_kept_name_their_items(story: Story) -> None:
    story.connection.execute("delete from learning.text_embeddings")
    result = replay(story.database, story.versions[1])
    assert result.trained is None
    assert [(f.about, "mango" in f.text) for f in result.findings] == [("texts", True)]


def test_other_code_is_a_finding_and_no_verdict(story: Story) -> None:
    story.connection.execute(
        """update learning.versions set manifest = jsonb_set(manifest, '{code,hash}', '"another"')"""
    )
    result = replay(story.database, story.versions[0])
    assert result.good
    assert [f.about for f in result.findings] == ["code"]


def test_windows_past_retention_are_a_finding_and_no_verdict(story: Story) -> None:
    story.connection.execute("truncate ingest.behaviour_events")
    result = replay(story.database, story.versions[0])
    assert result.good
    assert [f.about for f in result.findings] == ["retention"]


def test_a_version_without_a_manifest_is_refused(story: Story) -> None:
    story.connection.execute("update learning.versions set manifest = '{}'")
    with pytest.raises(BadRequest, match="cannot be replayed"):
        replay(story.database, story.versions[0])


def test_the_command_says_equal_and_ends_with_0_or_1(story: Story) -> None:
    environment = {"TIDEGATE_DATABASE_URL": story.database.conninfo, "PATH": "/usr/bin:/bin"}
    environment["PYTHONPATH"] = ":".join(sys.path)
    environment["OPENBLAS_NUM_THREADS"] = environment["OMP_NUM_THREADS"] = "2"  # must not matter
    said = tidegate("replay", str(story.versions[0]), "--json", environment=environment)
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["equal"] is True
    story.connection.execute("update ingest.behaviour_events set value = 0")
    said = tidegate("replay", str(story.versions[0]), environment=environment)
    assert said.returncode == 1
    assert "window 1" in said.stdout
