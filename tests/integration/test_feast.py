"""The feature repository, with the plain Feast command and from Python, on the real stores."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import psycopg
import pytest
import yaml
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from models import timelines
from tests.support.activity import Event, Row, fold, insert, item_history, make_window, some_events, user_history
from tests.support.databases import clone, drop
from tests.support.learning import deploy_version
from tidegate import feature_store, features, services
from tidegate.errors import BadRequest, NoLiveVersion, ServiceChanged
from tidegate.postgres import Database
from tidegate.postgres.variables import feast_variables
from tidegate.queries import queries
from tidegate.settings import get_settings

if TYPE_CHECKING:
    from feast import FeatureStore

_numbers = count(1)

Windows = list[list[Event]]
STORES = "TIDEGATE_FEAST_STORES"


@pytest.fixture(scope="module")
def applied(server: Database, template: Database) -> Iterator[Database]:
    """A database with the definitions applied. Clone it, never write to it."""
    made = clone(server, "template_feast", template.parameters["dbname"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STORES, "stock")  # what the live tables serve needs no table of its own
        get_settings.cache_clear()
        assert features.apply_definitions(made)
    get_settings.cache_clear()
    assert features.apply_definitions(made)
    yield made
    drop(server, made)


@pytest.fixture
def store_database(server: Database, applied: Database) -> Iterator[Database]:
    """A fresh database with the definitions applied."""
    made = clone(server, f"feast_{next(_numbers)}", applied.parameters["dbname"])
    yield made
    feature_store.close()
    drop(server, made)


@pytest.fixture
def stock(store_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Feast's own online store, which windows are copied to."""
    feature_store.close()
    monkeypatch.setenv(STORES, "stock")
    get_settings.cache_clear()


@pytest.fixture
def writer(store_database: Database) -> Iterator[psycopg.Connection[Any]]:
    with store_database.connect(autocommit=True) as connection:
        yield connection


def land(writer: psycopg.Connection[Any], windows: Windows) -> list[int]:
    """Insert, cut and materialise windows in order; return their positions."""
    positions = []
    for window in windows:
        insert(writer, window)
        positions.append(make_window(writer))
    return positions


def three_windows(seed: int) -> Windows:
    """Return windows of random events; the later ones bring late events too."""
    events = some_events(seed, 150)
    return [events[:60], events[60:110], events[110:]]


def feast(database: Database, *arguments: str) -> str:
    """Run the plain Feast command and return what it printed."""
    done = subprocess.run(
        feature_store.command(arguments),
        env=feature_store.environment(database),
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def raw_online(writer: psycopg.Connection[Any], view: str) -> dict[tuple[bytes, str], tuple[Any, ...]]:
    """Return the online store's rows with the transaction that wrote each."""
    found = writer.execute(
        f"select entity_key, feature_name, value, event_ts, xmin::text from feast.tidegate_{view}".encode()
    ).fetchall()
    return {(key, name): rest for key, name, *rest in found}


def expected_features(row: Row) -> dict[str, Any]:
    """Return a history row as Feast shows it."""
    shown = {name: row[name] for name in features.ACTIVITY if name in row}
    return shown | {"event_at": row["event_timestamp"].timestamp()}


def expected_profile(row: Row | None, asked: datetime) -> list[float]:
    """Return what a model shall read of a history row at a later time."""
    if row is None:
        return [np.nan] * len(features.PROFILE)
    mean = row["rating_sum"] / row["n_rating"] if row["n_rating"] else np.nan
    age = (asked - row["event_timestamp"]) / timedelta(days=1)
    return [*(float(row[name]) for name in features.PROFILE[:-2]), mean, age]


def as_of(history: list[Row], asked: datetime) -> Row | None:
    """Return the last row strictly before a time."""
    earlier = [row for row in history if row["event_timestamp"] < asked]
    return max(earlier, key=lambda row: (row["event_timestamp"], row["position"]), default=None)


def test_the_profile_is_what_the_models_read() -> None:
    assert features.PROFILE == timelines.PROFILE


@pytest.mark.parametrize("password", ["", "plain", 'it\'s "quoted": #1 \\ ${HOME} %20 @/'])
def test_any_password_reaches_feast_unchanged(password: str) -> None:
    database = Database(make_conninfo(host="db.example", port=5433, user="u", password=password, dbname="shop"))
    for store in ("online_store", "offline_store"):
        found = feature_store.settings(database)[store]
        assert (found["host"], found["port"], found["password"]) == ("db.example", 5433, password)


def test_the_plain_feast_command_reads_the_same_settings(server: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in feast_variables(server).items():
        monkeypatch.setenv(name, value)
    text = (feature_store.settings_file()).read_text()
    assert yaml.safe_load(os.path.expandvars(text)) == feature_store.settings(server)


def test_the_plain_feast_command_lists_what_was_applied(store_database: Database) -> None:
    assert {"user_activity", "item_activity"} <= set(feast(store_database, "feature-views", "list").split())


def test_definitions_are_applied_once(store_database: Database) -> None:
    assert not features.apply_definitions(store_database)


def test_historical_values_are_those_strictly_before_by_index_and_by_feast(
    store_database: Database, writer: psycopg.Connection[Any]
) -> None:
    windows = three_windows(5)
    land(writer, windows)
    events = [event for window in windows for event in window]
    asked = [(e.user_id, e.occurred_at + timedelta(microseconds=step)) for e in events[:60] for step in (0, 1)]
    asked += [("user-0", datetime(2024, 1, 1, tzinfo=UTC)), ("nobody", datetime(2026, 1, 1, tzinfo=UTC))]
    asked += asked[:5]  # an asked row may repeat

    frame = pd.DataFrame(asked, columns=["user_id", "event_timestamp"], index=range(100, 100 + len(asked)))
    found = features.point_in_time(store_database, frame)
    through_feast = features.historical(store_database, frame)

    histories = {user: user_history(windows, user) for user, _ in asked}
    expected = [expected_profile(as_of(histories[user], time), time) for user, time in asked]
    assert list(found.columns) == list(features.PROFILE)
    assert list(found.index) == list(frame.index)
    np.testing.assert_allclose(found.to_numpy(), np.array(expected), rtol=1e-9, atol=1e-9)
    pd.testing.assert_frame_equal(through_feast, found)


def test_nothing_asked_is_nothing_found(store_database: Database) -> None:
    frame = pd.DataFrame({"user_id": [], "event_timestamp": []})
    assert features.point_in_time(store_database, frame).shape == (0, len(features.PROFILE))


@pytest.mark.usefixtures("stock")
def test_online_values_are_the_newest_of_the_history(store_database: Database, writer: psycopg.Connection[Any]) -> None:
    windows = three_windows(6)
    for position in land(writer, windows):
        features.materialise_window_online(store_database, position)

    users, items = ([f"user-{n}" for n in range(5)], [f"item-{n}" for n in range(8)])
    found = features.online(store_database, [*users, "nobody"], items)

    assert found["users"].pop("nobody") is None
    for user in users:
        assert found["users"][user] == pytest.approx(expected_features(user_history(windows, user)[-1]))
    for item in items:
        assert found["items"][item] == pytest.approx(expected_features(item_history(windows, item)[-1]))


@pytest.mark.usefixtures("stock")
def test_a_window_touches_its_own_entities_only(store_database: Database, writer: psycopg.Connection[Any]) -> None:
    everybody = some_events(8, 80)
    few = [event for event in some_events(9, 40) if event.user_id in ("user-0", "user-1")]
    first, second = land(writer, [everybody, few])
    features.materialise_window_online(store_database, first)
    before = raw_online(writer, "user_activity")

    report = features.materialise_window_online(store_database, second)

    after = raw_online(writer, "user_activity")
    changed = {key for key, _ in after if after[key, _] != before.get((key, _))}
    assert report.users == len(changed) == len({event.user_id for event in few})
    assert report.items == len({event.item_id for event in few})
    assert report.seconds > 0


@pytest.mark.usefixtures("stock")
def test_an_old_window_never_overwrites_newer_values(store_database: Database, writer: psycopg.Connection[Any]) -> None:
    first, second = land(writer, [some_events(10, 60), some_events(11, 60)])
    features.materialise_window_online(store_database, second)
    before = raw_online(writer, "user_activity")

    assert features.materialise_window_online(store_database, first).users == 0
    assert raw_online(writer, "user_activity") == before


@pytest.mark.usefixtures("stock")
def test_a_repeated_window_writes_the_same_values(store_database: Database, writer: psycopg.Connection[Any]) -> None:
    (position,) = land(writer, [some_events(12, 60)])
    features.materialise_window_online(store_database, position)
    first = features.online(store_database, ["user-0"], ["item-0"])
    features.materialise_window_online(store_database, position)
    assert features.online(store_database, ["user-0"], ["item-0"]) == first


@pytest.mark.usefixtures("stock")
def test_feasts_own_store_connects_again_after_the_server_cut_it_off(
    store_database: Database, writer: psycopg.Connection[Any]
) -> None:
    land(writer, [some_events(13, 20)])
    features.materialise_window_online(store_database, 1)
    terminate_others(writer)
    with pytest.raises(psycopg.Error):
        features.online(store_database, ["user-0"])
    assert features.online(store_database, ["user-0"])["users"]["user-0"] is not None


def test_our_store_does_not_notice_that_the_server_cut_it_off(
    store_database: Database, writer: psycopg.Connection[Any]
) -> None:
    insert(writer, some_events(13, 20))
    before = features.online(store_database, ["user-0"])
    terminate_others(writer)
    assert features.online(store_database, ["user-0"]) == before
    assert before["users"]["user-0"] is not None


def test_online_values_are_those_of_the_last_commit(store_database: Database, writer: psycopg.Connection[Any]) -> None:
    for seed in (20, 21, 22):  # the first is folded, the second waits, the third comes as a window, all at once
        insert(writer, some_events(seed, 40))
        if seed == 20:
            writer.execute("begin isolation level repeatable read; select features.fold(); commit")
        users, items = ([f"user-{n}" for n in range(5)], [f"item-{n}" for n in range(8)])
        found = features.online(store_database, [*users, "nobody"], items)
        assert found["users"].pop("nobody") is None
        alone = {user: features.online(store_database, [user])["users"][user] for user in users}
        assert alone == found["users"] == {user: live(writer, "user", user) for user in users}
        assert found["items"] == {item: live(writer, "item", item) for item in items}


def live(writer: psycopg.Connection[Any], entity: str, name: str) -> dict[str, Any] | None:
    """Return a live row as Feast shows it, by a way that the store does not go."""
    merged = {"user": "features.user_features(%(name)s)", "item": "features.merged_items()"}[entity]
    for source in (merged, f"features.{entity}_activity"):
        query = f"select *, extract(epoch from last_event_at)::float8 as event_at from {source}"
        with writer.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(f"{query} where {entity}_id = %(name)s".encode(), {"name": name}).fetchone()
        if row is not None:
            return {feature: row[feature] for feature in features.ACTIVITY}
    return None


def terminate_others(writer: psycopg.Connection[Any]) -> None:
    writer.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )


def test_a_window_of_live_tables_needs_no_copying(store_database: Database, writer: psycopg.Connection[Any]) -> None:
    land(writer, [some_events(23, 30)])
    report = features.materialise_window_online(store_database, 1)
    assert (report.users, report.items) == (0, 0)
    assert raw_online(writer, "user_activity") == {}


@pytest.mark.usefixtures("stock")
@pytest.mark.long  # a process that imports Feast, and its engine
def test_plain_materialize_agrees_with_the_windows(store_database: Database, writer: psycopg.Connection[Any]) -> None:
    windows = [some_events(14, 60)]
    land(writer, windows)
    feast(store_database, "materialize", "2025-01-01T00:00:00", "2025-12-31T00:00:00")
    found = features.online(store_database, ["user-0"])["users"]["user-0"]
    assert found == pytest.approx(expected_features(user_history(windows, "user-0")[-1]))


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
    assert set(found[features.SERVICE]) == set(services.TRAINED_ON.features), "manifests say what training reads"


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


def trained_on(writer: psycopg.Connection[Any], service: services.Service) -> int:
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
    first = trained_on(writer, services.TRAINED_ON)
    before = services.look_up(store_database, ["user-0", "nobody"])
    assert before == {"user-0": pytest.approx({n: row[n] for n in features.PROFILED}), "nobody": None}

    apply_copy(store_database, changed_definitions(tmp_path))
    fewer = services.Service("sequential_recommender@v2", ("user_activity:n_purchase", "user_activity:spend"))
    trained_on(writer, fewer)

    expected = pytest.approx({"n_purchase": row["n_purchase"], "spend": row["spend"]})
    assert services.look_up(store_database, ["user-0"]) == {"user-0": expected}
    assert services.look_up(store_database, ["user-0", "nobody"], first) == before


def test_a_service_that_is_gone_or_not_what_it_was_is_never_served(
    store_database: Database, writer: psycopg.Connection[Any]
) -> None:
    with pytest.raises(NoLiveVersion):
        services.look_up(store_database, ["ann"])
    with pytest.raises(BadRequest, match="Version 99 does not exist"):
        services.look_up(store_database, ["ann"], 99)
    trained_on(writer, services.Service("sequential_recommender@v9", ("user_activity:spend",)))
    with pytest.raises(ServiceChanged, match=r"no feature service sequential_recommender@v9 .*services\.py"):
        services.look_up(store_database, ["ann"])
    edited = services.Service(features.SERVICE, (*services.TRAINED_ON.features[:-1], "user_activity:age"))
    trained_on(writer, edited)
    with pytest.raises(ServiceChanged, match="not what it was: user_activity:age, user_activity:event_at"):
        services.look_up(store_database, ["ann"])


def test_versions_from_before_manifests_named_a_service_are_looked_up_by_the_first(
    store_database: Database, writer: psycopg.Connection[Any]
) -> None:
    deploy_version(writer, {"item-0": [1, 0]})
    assert services.service_of(writer) == services.TRAINED_ON
    assert one_service(writer) == features.SERVICE


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
    assert live["service"] == [features.SERVICE]
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


def test_feast_monitors_every_view_with_rows(store_database: Database, writer: psycopg.Connection[Any]) -> None:
    land(writer, [some_events(17, 60)])
    deploy_version(writer, {"tea": [1, 0]}, {"ann": [0, 1]})
    assert "Status: completed" in feast(store_database, "monitor", "run")
    found = writer.execute(
        "select distinct feature_view_name from feast.feast_monitoring_feature_metrics where row_count > 0"
    ).fetchall()
    assert {name for (name,) in found} >= {"user_activity", "item_activity", "user_item_activity", "live_version"}
