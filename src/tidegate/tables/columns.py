"""What the tables share: the metadata with its naming convention, and the columns that many of them have."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    MetaData,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

SCHEMAS = ("ingest", "catalogue", "features", "learning", "serving")

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(constraint_name)s",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)

Time = DateTime(timezone=True)


def moment(name: str, comment: str, *, now: bool = False, nullable: bool = False) -> Column[dt.datetime]:
    """Return a timestamptz column; `now` makes the clock its default."""
    return Column(
        name,
        Time,
        nullable=nullable,
        comment=comment,
        server_default=text("clock_timestamp()") if now else None,
    )


def document(name: str, comment: str) -> Column[Any]:
    """Return a jsonb column that is an empty object unless said otherwise."""
    return Column(name, JSONB, nullable=False, server_default=text("'{}'::jsonb"), comment=comment)


def count(name: str, comment: str) -> Column[int]:
    """Return a bigint column that starts at zero."""
    return Column(name, BigInteger, nullable=False, server_default=text("0"), comment=comment)


def amount(name: str, comment: str) -> Column[float]:
    """Return a double precision column that starts at zero."""
    return Column(name, Float(53), nullable=False, server_default=text("0"), comment=comment)


def figure_columns() -> list[Column[Any]]:
    """Return a figure of a window or a batch, and how unusual it was."""
    return [
        Column("figure", Text, nullable=False, comment="log_rate, share_view … of learning.measure_events."),
        Column("value", Float(53), nullable=False, comment="What was measured."),
        Column("median", Float(53), comment="Median of what was usual; null with too little past."),
        Column("mad", Float(53), comment="The median distance from that median."),
        Column("z", Float(53), comment="Robust z-score: 0.6745 (value - median) / mad or its floor."),
        Column("suspicious", Boolean, nullable=False, comment="Whether the score reached suspicion_z."),
    ]
