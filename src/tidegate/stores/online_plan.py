"""What `feast plan` shows of the tables.

Feast's plan compares what a store wants with what the registry remembers, knows two kinds of objects (SQLite's tables
and Datastore's) and prints each as such; what our tables need is known by looking at them. So each change that
`feast apply` would make is an object of its own, whose name says everything. Feast prints it as
`Created sqlite table shop_user: add profile__age bigint`: the first three words are Feast's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
from feast.feature_view import FeatureView
from feast.infra.infra_object import SQLITE_INFRA_OBJECT_CLASS_TYPE, InfraObject
from feast.labeling.label_view import LabelView
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.protos.feast.core.InfraObject_pb2 import InfraObject as InfraObjectProto
from feast.protos.feast.core.SqliteTable_pb2 import SqliteTable
from feast.stream_feature_view import StreamFeatureView

from tidegate.stores.online_schema import Change, changes, project_views
from tidegate.stores.online_tables import place


class PlannedChange(InfraObject):
    """A change as an object of Feast's plan. Feast never makes it: `feast apply` calls the store's `update`."""

    def __init__(self, change: Change) -> None:
        super().__init__(str(change))

    def to_infra_object_proto(self) -> Any:
        """Return it as the only kind of object that Feast's plan shows without more packages."""
        return InfraObjectProto(infra_object_class_type=SQLITE_INFRA_OBJECT_CLASS_TYPE, sqlite_table=self.to_proto())

    def to_proto(self) -> Any:
        """Return its name; the path is where Feast opens a database that nobody uses."""
        return SqliteTable(name=self.name, path=":memory:")

    @staticmethod
    def from_infra_object_proto(infra_object_proto: Any) -> Any:
        """Refuse: nothing is kept of a plan."""
        raise NotImplementedError("A planned change is not kept in the registry. Ask for a new plan.")

    def update(self) -> None:
        """Do nothing: `feast apply` calls the store."""

    def teardown(self) -> None:
        """Do nothing: `feast teardown` calls the store."""


def planned(connection: psycopg.Connection[Any], config: Any, registry: Any) -> list[InfraObject]:
    """Return what `feast apply` would change, given the registry as it shall be."""
    views = list(_views(registry))
    names = {view.name for view in views}
    keep = [place(config, view) for view in views if getattr(view, "online", True)]
    gone = {view for view in project_views(connection, config) if not _is_of(view, names)}
    return [PlannedChange(change) for change in changes(connection, config, keep, gone)]


def _views(registry: Any) -> Iterator[Any]:
    """Yield the views that Feast hands to `update`."""
    yield from map(FeatureView.from_proto, registry.feature_views)
    yield from map(StreamFeatureView.from_proto, registry.stream_feature_views)
    yield from map(LabelView.from_proto, registry.label_views)
    on_demand = map(OnDemandFeatureView.from_proto, registry.on_demand_feature_views)
    yield from (view for view in on_demand if view.write_to_online_store)


def _is_of(view: str, names: set[str]) -> bool:
    """Return whether columns of this view are of one of the names, or of a version of it."""
    name, _, version = view.rpartition("_v")
    return view in names or (version.isdigit() and name in names)
