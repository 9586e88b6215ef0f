"""The ranking head of a version: read through Feast without a leak, and kept beside its recommender."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from models.ranking import checkpoint
from models.ranking.head import Head, Shape
from tests.support.activity import insert, make_window, some_events
from tests.support.databases import clone, drop
from tests.support.learning import deploy_version, one
from tests.support.shop import Shop
from tidegate import feature_store
from tidegate.families import RANKER
from tidegate.pairs import PAIRED, pairs_before
from tidegate.postgres import Database
from tidegate.services import registered
from tidegate.settings import get_settings
from workers.increment import Learner
from workers.ranking import parent_head
from workers.replay import replay

pytest.importorskip("feast")

Connection = psycopg.Connection[Any]
Moment = tuple[str, str, datetime]


def served(database: Database, moment: Moment) -> list[float]:
    """Return what the online store says of a user with an item at a moment."""
    user, item, at = moment
    row = {"stream": "default", "user_id": user, "item_id": item, "asked_at": at.timestamp()}
    with feature_store.opened(database) as store:
        found = store.get_online_features(features=registered(store, RANKER), entity_rows=[row]).to_dict()
    return [np.nan if found[name][0] is None else float(found[name][0]) for name in PAIRED]


def test_a_head_learns_what_it_would_have_been_served(store_database: Database, writer: Connection) -> None:
    events = sorted(some_events(5, 40), key=lambda event: event.occurred_at)
    early = events[0].occurred_at - timedelta(days=1)
    for item in {event.item_id for event in events}:
        writer.execute("insert into catalogue.items (item_id, price, updated_at) values (%s, 3, %s)", [item, early])
    deploy_version(writer, {events[0].item_id: [1.0, 0.0]})
    said: dict[Moment, list[float]] = {}
    for n, event in enumerate(events):
        moment = (event.user_id, event.item_id, event.occurred_at)
        if moment not in said:
            said[moment] = served(store_database, moment)
        insert(writer, [event])
        if n % 10 == 9:
            make_window(writer)
    users, items, times = zip(*said, strict=True)
    at = np.array([time.timestamp() for time in times])
    read = pairs_before(store_database, users, items, at, "default")
    np.testing.assert_allclose(read, list(said.values()), rtol=1e-6, atol=1e-6)
    known = np.isfinite(read).sum(axis=0)
    assert known.min() > 5, f"each feature is known somewhere: {known}"
    earlier = pairs_before(store_database, users, items, at, "default", last=1)
    assert np.isfinite(earlier).sum() < np.isfinite(read).sum(), "a run sees no window after its own"


def test_a_head_that_cannot_be_read_ends_no_run(store_database: Database, writer: Connection) -> None:
    version = deploy_version(writer, {"tea": [1.0, 0.0]})
    add = "insert into learning.ranking_heads (version_id, service, content) values (%s, %s, %s)"
    writer.execute(add, [version, RANKER.name, b"from another time"])
    assert parent_head(writer, version) is None
    writer.execute("update learning.ranking_heads set content = %s", [checkpoint.dump(Head(Shape(2)))])
    assert parent_head(writer, version) is not None
    assert parent_head(writer, None) is None


@pytest.fixture
def ranking_shop(
    server: Database, applied: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Database, Shop, Connection]]:
    """A shop whose versions get heads."""
    monkeypatch.setenv("TIDEGATE_RANKING_HEAD", "true")
    get_settings.cache_clear()
    database = clone(server, "ranked", applied.parameters["dbname"])
    with database.connect(autocommit=True) as connection:
        yield database, Shop(connection, Learner(database)), connection
    get_settings.cache_clear()
    feature_store.close()
    drop(server, database)


@pytest.mark.timeout(300)  # a language model is loaded
def test_each_version_gets_a_head_that_goes_on_from_the_live_ones(
    ranking_shop: tuple[Database, Shop, Connection],
) -> None:
    database, shop, connection = ranking_shop
    shop.stock()
    versions = []
    for days in (8, 6):
        shop.sell(days=days)
        shop.cut()
        versions.append(shop.train())
    assert (
        one(connection, "select parent_id from learning.versions where version_id = %s", [versions[1]]) == versions[0]
    )
    rows = connection.execute(
        "select version_id, service, content, scoring, manifest from learning.ranking_heads order by version_id"
    ).fetchall()
    assert [(version, service) for version, service, *_ in rows] == [(v, RANKER.name) for v in versions]
    heads = [checkpoint.load(bytes(content)) for _, _, content, _, _ in rows]
    assert [head.increments for head in heads] == [1, 2]
    assert all(scoring["tasks"]["taken"] for *_, scoring, _ in rows)
    assert all(said["report"]["rows"] > 0 for *_, said in rows)
    figures = connection.execute(
        "select r.version_id, r.slice, r.metric from learning.evaluations r where subject = 'ranking'"
    ).fetchall()
    assert {(version, part) for version, part, _ in figures} == {
        (versions[0], "holdout"), (versions[1], "holdout"), (versions[1], "window"),
    }  # fmt: skip
    assert {"auc", "log_loss", "calibration_error"} <= {metric for *_, metric in figures}
    assert replay(database, versions[1]).equal, "a head changes nothing of its recommender"
