"""An answer as columns: a dictionary at once, Feast's proto when somebody asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from feast.online_response import TIMESTAMP_POSTFIX, OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from google.protobuf.timestamp_pb2 import Timestamp

from tidegate.stores.types import ColumnType

PRESENT, NOT_FOUND, OUTSIDE_MAX_AGE = FieldStatus.PRESENT, FieldStatus.NOT_FOUND, FieldStatus.OUTSIDE_MAX_AGE
Statuses = bytes  # one of FieldStatus a row
Times = Sequence[datetime | None]


class Vector(NamedTuple):
    """A feature or a join key in an answer: its values on the wire, and what is known of each."""

    name: str
    type: ColumnType
    values: Sequence[Any]
    statuses: Statuses
    times: Times


class Block(NamedTuple):
    """Features of one view in an answer: they share their statuses and times."""

    names: Sequence[str]
    types: Sequence[ColumnType]
    columns: Sequence[Sequence[Any]]
    statuses: Statuses
    times: Times
    plain: bool = False  # no value needs turning into Python's

    def vectors(self) -> list[Vector]:
        """Return the features one by one."""
        each = zip(self.names, self.types, self.columns, strict=True)
        return [Vector(name, kind, values, self.statuses, self.times) for name, kind, values in each]


@dataclass(frozen=True)
class ViewVersion:
    """Which version of a view an answer comes from."""

    view: str
    version: int


class DirectResponse(OnlineResponse):
    """Feast's answer without a proto for each value."""

    def __init__(self, blocks: Sequence[Block], versions: Iterable[ViewVersion] = ()) -> None:
        self.blocks = blocks
        self._versions = tuple(versions)

    @property
    def vectors(self) -> list[Vector]:
        """The join keys and the features, one by one."""
        return [vector for block in self.blocks for vector in block.vectors()]

    @cached_property
    def proto(self) -> Any:
        """Return the answer as Feast's servers send it."""
        response = GetOnlineFeaturesResponse()
        append(response, self.vectors, self._versions)
        return response

    @property
    def _feature_types(self) -> dict[str, Any]:
        return {vector.name: vector.type.value_type for vector in self.vectors}

    def to_dict(self, include_event_timestamps: bool = False) -> dict[str, Any]:
        """Return the values by name, each a list with one entry a row."""
        shown: dict[str, Any] = {}
        for block in self.blocks:
            lists = map(list, block.columns) if block.plain else map(_shown, block.types, block.columns)
            shown.update(zip(block.names, lists, strict=True))
            if include_event_timestamps:
                times = [seconds(moment) for moment in block.times]
                shown.update((name + TIMESTAMP_POSTFIX, list(times)) for name in block.names)
        return shown


def _shown(kind: ColumnType, values: Sequence[Any]) -> list[Any]:
    load = kind.load
    return list(values) if load is None else [None if value is None else load(value) for value in values]


def append(response: Any, vectors: Iterable[Vector], versions: Iterable[ViewVersion]) -> None:
    """Append vectors to a proto of Feast's."""
    times: dict[int, list[Any]] = {}
    for vector in vectors:
        response.metadata.feature_names.val.append(vector.name)
        if id(vector.times) not in times:  # a view's features share them
            times[id(vector.times)] = _stamps(vector.times)
        response.results.add(
            values=_protos(vector.type, vector.values),
            statuses=vector.statuses,
            event_timestamps=times[id(vector.times)],
        )
    known = {metadata.name for metadata in response.metadata.feature_view_metadata}
    for version in versions:
        if version.view not in known:
            response.metadata.feature_view_metadata.add(name=version.view, version=version.version)


def _protos(kind: ColumnType, values: Sequence[Any]) -> Iterable[Any]:
    """Return values as protos; a user's value beside a hundred items is made once."""
    if len(set(map(id, values))) == 1:
        return [kind.to_proto(values[0])] * len(values)
    return map(kind.to_proto, values)


def seconds(moment: datetime | None) -> int:
    """Return a time in whole seconds since 1970; 0 for none, as in an empty proto."""
    return 0 if moment is None else int(moment.timestamp() // 1)


def _stamps(times: Times) -> list[Any]:
    made: dict[datetime | None, Any] = {None: Timestamp()}
    for moment in times:
        if moment is not None and moment not in made:
            made[moment] = Timestamp()
            made[moment].FromDatetime(moment)
    return [made[moment] for moment in times]
