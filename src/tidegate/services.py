"""Feature services by version: a model is looked up by exactly the features that it was trained on.

A version's manifest names its service and lists what that held. The definitions may have moved on since: then the
old service is still there under its number, or the lookup says what is missing instead of serving something else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import psycopg

from tidegate import feature_store
from tidegate.errors import BadRequest, NoLiveVersion, ServiceChanged
from tidegate.events import DEFAULT_STREAM
from tidegate.families import Service
from tidegate.postgres import Database
from tidegate.queries import queries

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore


def service_of(
    connection: psycopg.Connection[Any], version: int | None = None, stream: str = DEFAULT_STREAM
) -> Service:
    """Return the service that a version was trained on, the stream's live version unless said otherwise.

    Raises NoLiveVersion, or BadRequest for a version that does not exist.
    """
    row = connection.execute(queries["service_of_version"], {"version": version, "stream": stream}).fetchone()
    if row is None:
        raise _unknown(version, stream)
    return Service.of(row[0])


def look_up(
    database: Database, users: Iterable[str], version: int | None = None, stream: str = DEFAULT_STREAM
) -> dict[str, dict[str, Any] | None]:
    """Return {user: features} from the online store as a version reads them, the live one unless said otherwise.

    None stands for a user of whom nothing is known. Raises ServiceChanged where the definitions no longer hold what
    the version was trained on.
    """
    names = list(dict.fromkeys(users))
    with database.connect() as connection:
        wanted = service_of(connection, version, stream)
    with feature_store.opened(database) as store:
        service = registered(store, wanted)
        rows = [{"user_id": name} for name in names]
        found = store.get_online_features(features=service, entity_rows=rows).to_dict() if rows else {}
    return {name: _row(found, wanted, place) for place, name in enumerate(names)}


def registered(store: FeatureStore, wanted: Service) -> FeatureService:
    """Return the service from Feast's registry, if it still is what it was. Raises ServiceChanged.

    What this process remembers of the registry may be older than a definition that was applied a moment ago.
    """
    try:
        return _checked(store, wanted)
    except ServiceChanged:
        store.refresh_registry()
        return _checked(store, wanted)


def _checked(store: FeatureStore, wanted: Service) -> FeatureService:
    from feast.errors import FeatureServiceNotFoundException

    try:
        service = store.get_feature_service(wanted.name, allow_cache=True)
    except FeatureServiceNotFoundException:
        raise ServiceChanged(f"The definitions have no feature service {wanted.name} any more.") from None
    changed = set(contents(service)) ^ set(wanted.features)
    if changed:
        said = ", ".join(sorted(changed))
        raise ServiceChanged(f"The feature service {wanted.name} is not what it was: {said}.")
    return service


def contents(service: FeatureService) -> list[str]:
    """Return what a service of Feast holds, as view:feature."""
    views = service.feature_view_projections
    return [f"{view.name_to_use()}:{field.name}" for view in views for field in view.features]


def _row(found: dict[str, list[Any]], wanted: Service, place: int) -> dict[str, Any] | None:
    """Return the features of one row by their names, in the order of the version's manifest."""
    names = [feature.partition(":")[2] for feature in wanted.features]
    row = {name: found[name][place] for name in names}
    return None if all(value is None for value in row.values()) else row


def _unknown(version: int | None, stream: str) -> BadRequest | NoLiveVersion:
    if version is None:
        return NoLiveVersion(f"Stream {stream} has no live version.", "See what it waits for with `tidegate status`.")
    return BadRequest(f"Version {version} does not exist.", "List them with `tidegate versions list`.")
