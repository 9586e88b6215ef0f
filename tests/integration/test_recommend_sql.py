"""serving.recommend: layers, filters, freshness and impressions."""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg
import pytest

from models.covisitation import Covisitation
from models.histories import lay_out, queries_at
from models.timelines import timeline_from
from tests.support.activity import fold
from tests.support.learning import SCORING, add_items, deploy_version, one

EVENT = "insert into ingest.behaviour_events (user_id, item_id, event_type) values (%s, %s, 'purchase')"
FOLLOWERS = "update serving.item_vectors set followers = %s, follow_weights = %s where version_id = %s and item_id = %s"
VECTORS = {"tea": [1.0, 0.0], "milk": [0.0, 1.0], "bread": [0.5, 0.5]}


def answer(connection: psycopg.Connection[Any], user: str, k: int = 10) -> list[tuple[str, str]]:
    """Return item and layer of each place."""
    rows = connection.execute("select item_id, layer from serving.recommend(%s, %s) order by place", [user, k])
    return [(str(item), str(layer)) for item, layer in rows.fetchall()]


@pytest.fixture
def shop(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Three items, of which milk is popular; nothing is live yet."""
    add_items(connection, *VECTORS)
    for user in ("b", "c", "d"):
        connection.execute(EVENT, [user, "milk"])
    connection.execute(EVENT, ["b", "bread"])
    return connection


def test_without_a_version_an_unknown_user_gets_what_is_popular(shop: psycopg.Connection[Any]) -> None:
    fold(shop)
    assert answer(shop, "nobody") == [("milk", "popularity"), ("bread", "popularity"), ("tea", "popularity")]


def test_a_version_that_knows_the_user_answers_personally(shop: psycopg.Connection[Any]) -> None:
    deploy_version(shop, VECTORS, {"a": [1.0, 0.0]})
    assert answer(shop, "a") == [("tea", "personal"), ("bread", "personal"), ("milk", "personal")]
    assert {layer for _, layer in answer(shop, "nobody")} == {"popularity"}


def test_a_user_who_is_new_to_the_version_gets_a_session_answer_at_the_next_commit(
    shop: psycopg.Connection[Any],
) -> None:
    deploy_version(shop, VECTORS)
    assert answer(shop, "new")[0][1] == "popularity"
    shop.execute(EVENT, ["new", "tea"])
    assert answer(shop, "new")[0] == ("tea", "session")


def test_newer_events_correct_a_stored_user_vector(shop: psycopg.Connection[Any]) -> None:
    deploy_version(shop, VECTORS, {"a": [0.1, 0.0]})
    assert answer(shop, "a")[0] == ("tea", "personal")
    shop.execute("insert into ingest.behaviour_events (user_id, item_id, event_type, occurred_at)"
                 " values ('a', 'milk', 'view', now() + interval '1 second')")  # fmt: skip
    assert answer(shop, "a")[0] == ("milk", "personal")


def test_an_unavailable_item_never_comes_back(shop: psycopg.Connection[Any]) -> None:
    deploy_version(shop, VECTORS, {"a": [1.0, 0.0]})
    shop.execute("update catalogue.items set available = false where item_id = 'tea'")
    for user in ("a", "nobody"):
        assert "tea" not in dict(answer(shop, user, 1000))


def test_where_items_must_not_repeat_a_users_own_are_left_out_at_once(shop: psycopg.Connection[Any]) -> None:
    shop.execute("update learning.streams set repeats = false")
    deploy_version(shop, VECTORS, {"a": [1.0, 0.0]})
    shop.execute(EVENT, ["a", "tea"])
    assert "tea" not in dict(answer(shop, "a"))


def test_a_new_item_can_be_recommended_at_its_commit(shop: psycopg.Connection[Any]) -> None:
    deploy_version(shop, VECTORS, {"a": [1.0, 0.0]})
    add_items(shop, "coffee")
    assert "coffee" in dict(answer(shop, "a"))


def test_what_a_user_had_before_counts_by_the_versions_weights(shop: psycopg.Connection[Any]) -> None:
    deploy_version(shop, VECTORS, {"b": [0.0, 0.0]}, SCORING | {"repeat": [1, 1, 0, 0, 0, 0, 0]})
    shop.execute(EVENT, ["b", "bread"])
    row = shop.execute("select item_id, why from serving.recommend('b', 1)").fetchone()
    assert row is not None
    assert row[0] == "bread"
    assert row[1].startswith("yours 2 times before")


def test_each_answer_is_an_impression_with_its_version(shop: psycopg.Connection[Any]) -> None:
    version = deploy_version(shop, VECTORS, {"a": [1.0, 0.0]})
    answer(shop, "a", 2)
    assert shop.execute("select user_id, version_id, layer, items, source from serving.impressions").fetchall() == [
        ("a", version, "personal", ["tea", "bread"], "sql")
    ]


def test_a_read_only_transaction_is_answered_without_an_impression(shop: psycopg.Connection[Any]) -> None:
    with shop.transaction():
        shop.execute("set transaction read only")
        assert len(answer(shop, "nobody")) == 3
    assert one(shop, "select count(*) from serving.impressions") == 0


def test_rolling_back_is_the_same_flip(shop: psycopg.Connection[Any]) -> None:
    first = deploy_version(shop, VECTORS, {"a": [1.0, 0.0]})
    second = deploy_version(shop, VECTORS, {"a": [0.0, 1.0]})
    assert answer(shop, "a")[0][0] == "milk"
    shop.execute("select learning.deploy(%s, 'back')", [first])
    assert answer(shop, "a")[0][0] == "tea"
    assert shop.execute(
        "select version_id, live_until is null from serving.deployments order by deployment_id"
    ).fetchall() == [(first, False), (second, False), (first, True)]


@pytest.mark.parametrize(("user", "k", "stream"), [("a", 0, "default"), ("a", 1001, "default"), ("", 1, "default")])
def test_a_senseless_question_is_refused(shop: psycopg.Connection[Any], user: str, k: int, stream: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        shop.execute("select * from serving.recommend(%s, %s, %s)", [user, k, stream])


def test_an_unknown_stream_is_named_with_a_hint(shop: psycopg.Connection[Any]) -> None:
    with pytest.raises(psycopg.errors.UndefinedObject, match="List the streams"):
        shop.execute("select * from serving.recommend('a', 1, 'nope')")


def test_what_follows_the_latest_events_counts_as_it_did_in_training(shop: psycopg.Connection[Any]) -> None:
    names = tuple(VECTORS)
    lines = [
        timeline_from(f"u{n}", line, [float(n), n + 0.5]) for n, line in enumerate(([0, 1], [0, 1], [0, 2], [1, 2]))
    ]
    histories = lay_out(lines)
    counted = Covisitation.empty(len(names))
    counted.fold(histories, np.arange(len(histories.items)))
    found = counted.followers()
    scoring = SCORING | {"following": [2.0, 0.0], "items": 3}
    version = deploy_version(shop, {name: [0.0, 0.0] for name in names}, scoring=scoring)
    for number, name in enumerate(names):
        row = found.weights[[number]].tocoo()
        shop.execute(
            FOLLOWERS,
            [[names[i] for i in row.coords[1]], row.data.tolist(), version, name],
        )
    for item in (names[1], names[0]):
        shop.execute(EVENT, ["ann", item])
    expected = 2.0 * found.after(queries_at([timeline_from("ann", [1, 0], [0.0, 1.0])]))[0]
    rows = shop.execute("select item_id, score from serving.rank('ann', 10, 'default')").fetchall()
    scores = dict(rows)
    assert [scores[name] for name in names] == pytest.approx(expected.tolist(), rel=1e-5)
