"""Definitions worth having: pairs, rankings, what models say, services by version, the past."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import psycopg
import pytest

from tests.support.activity import Event, fold, insert, make_window, some_events, user_history
from tests.support.feast import expected_features, feast, land, three_windows
from tests.support.learning import add_items, deploy_version
from tidegate import feature_store, features, services
from tidegate.errors import BadRequest, NoLiveVersion, ServiceChanged
from tidegate.families import FAMILIES, SEQUENTIAL_RECOMMENDER, Service
from tidegate.postgres import Database
from tidegate.queries import queries

if TYPE_CHECKING:
    from feast import FeatureStore

# What versions were trained on. A line here never changes: another set of features is another number.
RELEASED = {
    "sequential_recommender@v1": "n_view n_click n_cart n_purchase n_rating decayed_day decayed_week decayed_month"
    " spend rating_sum event_at",
    "ranker@v1": "affinity popularity affinity_by_popularity pair_age_days price_to_mean_spend pair_events"
    " pair_decayed_week pair_event_at user_version item_version",
}
# What tidegate's own tables answer of; the rest is written by windows or by `feast materialize`.
SERVED = {
    "user_item_activity": {"function": "features.pairs_now"},
    "item_catalogue": {"table": "catalogue.items", "event_timestamp": "updated_at"},
    "live_version": {"table": "serving.live_versions"},
    "user_vectors": {"table": "serving.live_user_vectors"},
    "item_vectors": {"table": "serving.live_item_vectors"},
    "scores": {"function": "serving.scores_now"},
}
STOCK = ({"type": "postgres"}, {"type": "postgres"})
OURS = (
    {"type": "tidegate.stores.online.TidegateOnlineStore", "tables": SERVED},
    {"type": "tidegate.stores.offline.TidegateOfflineStore"},
)


@contextmanager
def on_stores(database: Database, kinds: tuple[dict[str, Any], dict[str, Any]]) -> Iterator[FeatureStore]:
    """Yield our definitions on other stores than the settings say."""
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

    said = feature_store.settings(database)
    if kinds is STOCK:
        said.pop("batch_engine", None)
    kept = {"host", "port", "database", "user", "password", "sslmode", "db_schema"}
    for kind, settings in zip(("online_store", "offline_store"), kinds, strict=True):
        said[kind] = {name: said[kind][name] for name in kept} | settings
    store = FeatureStore(config=RepoConfig(**said, repo_path=feature_store.repository()))
    views = store.list_feature_views()
    store._get_provider().update_infra(store.project, [], views, [], [], False)  # what `apply` does
    yield store
    store.registry.write_engine.dispose()


def test_released_services_never_change(store_database: Database) -> None:
    with feature_store.opened(store_database) as store:
        found = {service.name: services.contents(service) for service in store.list_feature_services()}
    for name, expected in RELEASED.items():
        assert {ref.partition(":")[2] for ref in found[name]} == set(expected.split())
        assert sorted(found[name.partition("@")[0]]) == sorted(found[name]), "the name without a number is the newest"
    for family, service in FAMILIES.items():
        assert service.name.partition("@")[0] == family
        assert set(found[service.name]) == set(service.features), "manifests say what training reads"
        assert sorted(found[family]) == sorted(service.features), "a family reads its newest service"


def changed_definitions(folder: Path) -> Path:
    """Return a copy of the definitions in which the recommender has moved on to a second service."""
    copy = folder / "feature_repo"
    shutil.copytree(feature_store.repository(), copy, ignore=shutil.ignore_patterns("__pycache__"))
    for name, old, new in (
        ("services.py", "RANKER_V1 = [", 'FEWER = [user_activity[["n_purchase", "spend"]]]\n'
         'sequential_recommender_v2 = release("sequential_recommender", 2, FEWER, "Less.")\n\nRANKER_V1 = ['),
        ("definitions.py", "import ranker, ", "import sequential_recommender_v2, ranker, "),
    ):  # fmt: skip
        text = (copy / name).read_text()
        assert old in text
        (copy / name).write_text(text.replace(old, new, 1))
    return copy


def apply_copy(database: Database, folder: Path) -> None:
    """Apply definitions that stand somewhere else."""
    command = [
        str(folder) if part == str(feature_store.repository()) else part for part in feature_store.command(["apply"])
    ]
    path = os.pathsep.join([str(folder.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command,
        env=feature_store.environment(database) | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def trained_on(writer: psycopg.Connection[Any], service: Service) -> int:
    """Make a version live whose manifest names a service; return its id."""
    version = deploy_version(writer, {"item-0": [1, 0]})
    writer.execute(
        "update learning.versions set manifest = jsonb_build_object('service', %s::jsonb) where version_id = %s",
        [json.dumps(service.as_json()), version],
    )
    return version


def test_a_version_is_looked_up_by_its_own_service_after_the_definitions_changed(
    store_database: Database, writer: psycopg.Connection[Any], tmp_path: Path
) -> None:
    windows = [some_events(15, 40)]
    (position,) = land(writer, windows)
    features.materialise_window_online(store_database, position)
    row = expected_features(user_history(windows, "user-0")[-1])
    first = trained_on(writer, SEQUENTIAL_RECOMMENDER)
    before = services.look_up(store_database, ["user-0", "nobody"])
    assert before == {"user-0": pytest.approx({n: row[n] for n in features.PROFILED}), "nobody": None}

    apply_copy(store_database, changed_definitions(tmp_path))
    fewer = Service("sequential_recommender@v2", ("user_activity:n_purchase", "user_activity:spend"))
    trained_on(writer, fewer)

    expected = pytest.approx({"n_purchase": row["n_purchase"], "spend": row["spend"]})
    assert services.look_up(store_database, ["user-0"]) == {"user-0": expected}
    assert services.look_up(store_database, ["user-0", "nobody"], first) == before


@pytest.mark.usefixtures("stock")
def test_versions_are_looked_up_on_feasts_own_stores_as_of_the_last_window(
    store_database: Database, writer: psycopg.Connection[Any]
) -> None:
    window = some_events(15, 40)
    (position,) = land(writer, [window])
    version = trained_on(writer, SEQUENTIAL_RECOMMENDER)
    assert services.look_up(store_database, ["user-0"]) == {"user-0": None}, "the window was not copied yet"
    features.materialise_window_online(store_database, position)
    insert(writer, some_events(16, 40))  # in no window yet
    row = expected_features(user_history([window], "user-0")[-1])
    expected = {"user-0": pytest.approx({name: row[name] for name in features.PROFILED})}
    assert services.look_up(store_database, ["user-0"], version) == expected


def test_a_service_that_is_gone_or_not_what_it_was_is_never_served(
    store_database: Database, writer: psycopg.Connection[Any]
) -> None:
    with pytest.raises(NoLiveVersion):
        services.look_up(store_database, ["ann"])
    with pytest.raises(BadRequest, match="Version 99 does not exist"):
        services.look_up(store_database, ["ann"], 99)
    trained_on(writer, Service("sequential_recommender@v9", ("user_activity:spend",)))
    with pytest.raises(ServiceChanged, match=r"no feature service sequential_recommender@v9 .*services\.py"):
        services.look_up(store_database, ["ann"])
    edited = Service(SEQUENTIAL_RECOMMENDER.name, (*SEQUENTIAL_RECOMMENDER.features[:-1], "user_activity:age"))
    trained_on(writer, edited)
    with pytest.raises(ServiceChanged, match="not what it was: user_activity:age, user_activity:event_at"):
        services.look_up(store_database, ["ann"])


def test_versions_from_before_manifests_named_a_service_are_looked_up_by_the_first(
    store_database: Database, writer: psycopg.Connection[Any]
) -> None:
    deploy_version(writer, {"item-0": [1, 0]})
    assert services.service_of(writer) == SEQUENTIAL_RECOMMENDER
    assert one_service(writer) == SEQUENTIAL_RECOMMENDER.name


def one_service(writer: psycopg.Connection[Any]) -> str:
    """Return the service that SQL says the live version reads."""
    row = writer.execute("select service from serving.live_versions").fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize("kinds", [STOCK, OURS], ids=["stock", "ours"])
def test_features_as_of_a_moment_are_what_feast_s_point_in_time_join_finds(
    store_database: Database, writer: psycopg.Connection[Any], kinds: Any
) -> None:
    windows = three_windows(16)
    land(writer, windows)
    times = [e.occurred_at + timedelta(microseconds=us) for e in windows[1][:8] for us in (-1, 0, 1)]
    asked = [(f"user-{n % 5}", f"item-{n % 8}", at) for n, at in enumerate(times)]
    frame = pd.DataFrame(asked, columns=["user_id", "item_id", "event_timestamp"]).assign(row=range(len(asked)))
    wanted = [f"user_activity:{name}" for name in features.ACTIVITY]
    pair = ["pair_events", "pair_decayed_day", "pair_decayed_week", "pair_decayed_month", "pair_event_at"]
    with on_stores(store_database, kinds) as store:
        joined = store.get_historical_features(
            entity_df=frame, features=[*wanted, *(f"user_item_activity:{name}" for name in pair)]
        ).to_df()
    for place, row in enumerate(joined.sort_values("row").to_dict("records")):
        user, item, at = asked[place]
        mine = features.as_of(store_database, user, at) or dict.fromkeys(features.ACTIVITY, np.nan)
        ours = features.pairs_as_of(store_database, user, at).get(item) or dict.fromkeys(pair, np.nan)
        assert {name: row[name] for name in features.ACTIVITY} == pytest.approx(mine, nan_ok=True)
        assert {name: row[name] for name in pair} == pytest.approx(ours, nan_ok=True)


def test_a_moment_needs_a_zone(store_database: Database) -> None:
    with pytest.raises(BadRequest, match="no zone"):
        features.as_of(store_database, "ann", datetime(2025, 3, 1))  # noqa: DTZ001


@pytest.mark.parametrize("kinds", [STOCK, OURS], ids=["stock", "ours"])
def test_ranking_features_say_what_a_user_with_an_item_is_worth_at_a_moment(
    store_database: Database, writer: psycopg.Connection[Any], kinds: Any
) -> None:
    at = datetime(2025, 3, 1, tzinfo=UTC)
    insert(writer, [Event("ann", "tea", "purchase", value, at) for value in (2.0, 4.0)])
    position = make_window(writer)
    fold(writer)
    writer.execute("update catalogue.items set price = 6, updated_at = %s", [at])
    writer.execute("insert into catalogue.items (item_id, price, updated_at) values ('cup', 1, %s)", [at])
    deploy_version(writer, {"tea": [0.5, 1.0]}, {"ann": [2.0, 3.0]})
    writer.execute("update serving.deployments set live_from = %s", [at])
    asked = [("ann", "tea"), ("ann", "cup"), ("bob", "tea")]
    moment = at + timedelta(days=7)
    popularity = np.log1p(2 * 0.5)
    expected = {
        "affinity": [4.0, None, None],
        "popularity": [popularity, None, popularity],
        "affinity_by_popularity": [4.0 * popularity, None, None],
        "pair_age_days": [7.0, None, None],
        "price_to_mean_spend": [2.0, 1 / 3, None],
    }
    rows = [{"stream": "default", "user_id": u, "item_id": i, "asked_at": moment.timestamp()} for u, i in asked]
    frame = pd.DataFrame(rows).assign(event_timestamp=moment, row=range(3))
    with on_stores(store_database, kinds) as store:
        if kinds is STOCK:
            store.materialize(at - timedelta(days=1), at + timedelta(days=1))
        else:
            for entity in ("user", "item"):
                write_window(store, writer, entity, position)
        live = store.get_online_features(["live_version:version_number"], [{"stream": "default"}]).to_dict()
        assert live["version_number"] == [1]
        service = store.get_feature_service("ranker@v1")
        online = store.get_online_features(features=service, entity_rows=rows).to_dict()
        historical = store.get_historical_features(entity_df=frame, features=service).to_df().sort_values("row")
    for name, values in expected.items():
        assert online[name] == [pytest.approx(value) if value else None for value in values]
        np.testing.assert_allclose(historical[name].astype(float), np.array(values, dtype=float))


def write_window(store: Any, writer: psycopg.Connection[Any], entity: str, position: int) -> None:
    """Write a window's users or items online."""
    cursor = writer.execute(queries[f"{entity}_rows_to_go_online"], {"position": position})
    frame = pd.DataFrame(cursor.fetchall(), columns=[column.name for column in cursor.description or ()])
    store.write_to_online_store(f"{entity}_activity", frame)


def test_the_live_version_and_its_vectors_are_features_at_once_and_in_the_past(
    store_database: Database, writer: psycopg.Connection[Any]
) -> None:
    first = deploy_version(writer, {"tea": [1, 0]}, {"ann": [0, 1]})
    second = deploy_version(writer, {"tea": [2, 0]}, {"ann": [0, 2]})
    (flip,) = writer.execute("select live_from from serving.live_versions").fetchone() or (None,)
    rows = [{"stream": "default", "user_id": "ann", "item_id": "tea"}]
    wanted = ["live_version:version_id", "live_version:service", "user_vectors:user_vector", "item_vectors:item_vector"]
    now, before = datetime.now(UTC), datetime.fromtimestamp(flip, UTC) - timedelta(microseconds=1)
    frame = pd.DataFrame(rows * 2).assign(event_timestamp=[before, now])
    with on_stores(store_database, OURS) as store:
        live = store.get_online_features(features=wanted, entity_rows=rows).to_dict()
        past = store.get_historical_features(entity_df=frame, features=wanted).to_df()
        writer.execute("select learning.deploy(%s, 'back')", [first])
        back = store.get_online_features(features=wanted, entity_rows=rows).to_dict()
    assert (live["version_id"], live["user_vector"], live["item_vector"]) == ([second], [[0, 2]], [[2, 0]])
    assert (back["version_id"], back["user_vector"], back["item_vector"]) == ([first], [[0, 1]], [[1, 0]])
    assert live["service"] == [SEQUENTIAL_RECOMMENDER.name]
    assert list(past["version_id"]) == [first, second]
    assert [list(vector) for vector in past["item_vector"]] == [[1, 0], [2, 0]]


def test_scores_that_were_shown_are_features(store_database: Database, writer: psycopg.Connection[Any]) -> None:
    version = deploy_version(writer, {"tea": [1, 0], "cup": [0.5, 0]}, {"ann": [2, 0]})
    writer.execute("insert into catalogue.items (item_id) values ('tea'), ('cup')")
    writer.execute("select * from serving.recommend('ann', 2)")
    frame = pd.DataFrame([{"stream": "default", "user_id": "ann", "item_id": item} for item in ("cup", "tea", "pot")])
    with on_stores(store_database, OURS) as store:
        wanted = ["scores:score", "scores:place", "scores:score_version"]
        found = store.get_historical_features(
            entity_df=frame.assign(event_timestamp=datetime.now(UTC)), features=wanted
        ).to_df()
    np.testing.assert_array_equal(found["score"].astype(float), [1.0, 2.0, np.nan])
    np.testing.assert_array_equal(found["place"].astype(float), [2, 1, np.nan])
    np.testing.assert_array_equal(found["score_version"].astype(float), [version, version, np.nan])


def test_scores_are_the_live_version_s_at_every_flip(store_database: Database, writer: psycopg.Connection[Any]) -> None:
    add_items(writer, "tea", "cup", "pot")
    asked = [("default", "ann", "tea"), ("default", "ann", "cup"), ("default", "bob", "tea")]
    asked += [
        ("default", "ann", "gone"),
        ("no such stream", "ann", "tea"),
        ("default", "too long" * 33, "tea"),
    ]
    rows = [dict(zip(("stream", "user_id", "item_id"), row, strict=True)) for row in asked]
    wanted = ["scores:score", "scores:place", "scores:score_version"]
    with feature_store.opened(store_database) as store:

        def scored() -> list[tuple[Any, ...]]:
            found = store.get_online_features(features=wanted, entity_rows=rows).to_dict()
            return list(zip(found["score"], found["place"], found["score_version"], strict=True))

        nothing = [(None, None, None)] * 3
        assert scored() == [(0.0, 3, None), (0.0, 1, None), (0.0, 3, None), *nothing], "no version yet"
        first = deploy_version(writer, {"tea": [1, 0], "cup": [0.5, 0]}, {"ann": [2, 0]})
        of_first = [(2.0, 1, first), (1.0, 2, first), (0.0, 3, first), *nothing]
        assert scored() == of_first
        second = deploy_version(writer, {"tea": [1, 0], "cup": [3, 0]}, {"ann": [2, 0]})
        assert scored() == [(2.0, 2, second), (6.0, 1, second), (0.0, 3, second), *nothing]
        shown = {item: (score, place) for place, item, score in rank(writer, "ann")}
        assert [row[:2] for row in scored()[:2]] == [shown["tea"], shown["cup"]]
        writer.execute("select learning.deploy(%s, 'back')", [first])
        assert scored() == of_first


def rank(writer: psycopg.Connection[Any], user: str) -> list[tuple[Any, ...]]:
    """Return place, item and score of what would be shown."""
    return writer.execute("select place, item_id, score from serving.rank(%s, 10, 'default')", [user]).fetchall()


def test_feast_monitors_every_view_its_vectors_apart(store_database: Database, writer: psycopg.Connection[Any]) -> None:
    land(writer, [some_events(17, 60)])
    add_items(writer, "tea")
    deploy_version(writer, {"tea": [1, 0]}, {"ann": [0, 1]})
    writer.execute("update catalogue.items set category = 'drinks', price = 3")
    writer.execute("select * from serving.recommend('ann', 1)")
    assert "Status: completed" in feast(store_database, "monitor", "run")
    figures = "select distinct feature_view_name, feature_name from feast.feast_monitoring_feature_metrics"
    found = writer.execute(f"{figures} where row_count > 0".encode()).fetchall()
    with feature_store.opened(store_database) as store:
        views = {(view.name, field.name) for view in store.list_feature_views() for field in view.features}
    vectors = {("user_vectors", "user_vector"), ("item_vectors", "item_vector")}
    assert set(found) == views - vectors
