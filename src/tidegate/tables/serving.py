"""Deployments, vectors and impressions."""

from __future__ import annotations

from pgvector.sqlalchemy import Vector
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, REAL

from tidegate.tables.columns import metadata, moment

deployments = Table(
    "deployments",
    metadata,
    Column(
        "deployment_id",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="Name of the deployment.",
    ),
    Column(
        "stream",
        Text,
        ForeignKey("learning.streams.stream"),
        nullable=False,
        comment="The stream.",
    ),
    Column(
        "version_id",
        BigInteger,
        ForeignKey("learning.versions.version_id"),
        nullable=False,
        comment="The version that is live.",
    ),
    moment("live_from", "Since when.", now=True),
    moment("live_until", "Until when; null: now.", nullable=True),
    Column("reason", Text, nullable=False, comment="Why the pointer was moved."),
    Column(
        "actor",
        Text,
        nullable=False,
        server_default=text("current_user"),
        comment="Who moved it.",
    ),
    CheckConstraint("live_until >= live_from", name="deployment_ends_after_it_began"),
    Index(
        "deployments_one_live_per_stream_idx",
        "stream",
        unique=True,
        postgresql_where=text("live_until is null"),
    ),
    schema="serving",
    comment="Which version is live. Promotion and rollback are one row ended and one begun.",
)

item_vectors = Table(
    "item_vectors",
    metadata,
    Column(
        "version_id",
        BigInteger,
        ForeignKey("learning.versions.version_id", ondelete="CASCADE"),
        nullable=False,
        comment="The version.",
    ),
    Column("item_id", Text, nullable=False, comment="The item."),
    Column(
        "vector",
        Vector(),
        nullable=False,
        comment="Item vector: a score is its dot product with a user vector.",
    ),
    Column(
        "followers",
        ARRAY(Text),
        comment="Items that are taken after this one, as far as the version counted them.",
    ),
    Column(
        "follow_weights",
        ARRAY(REAL),
        comment="How much each of the followers follows, comparable between items.",
    ),
    PrimaryKeyConstraint("version_id", "item_id"),
    CheckConstraint(
        "cardinality(followers) is not distinct from cardinality(follow_weights)",
        name="item_vectors_followers_have_weights",
    ),
    schema="serving",
    comment="Item vectors of each version, written in the transaction that publishes it.",
)

user_vectors = Table(
    "user_vectors",
    metadata,
    Column(
        "version_id",
        BigInteger,
        ForeignKey("learning.versions.version_id", ondelete="CASCADE"),
        nullable=False,
        comment="The version.",
    ),
    Column("user_id", Text, nullable=False, comment="The user."),
    Column("vector", Vector(), nullable=False, comment="User vector as of as_of."),
    moment("as_of", "Time of the newest event that the vector has seen."),
    PrimaryKeyConstraint("version_id", "user_id"),
    schema="serving",
    comment="User vectors of each version for recently active users; newer events correct them at read.",
)

impressions = Table(
    "impressions",
    metadata,
    Column(
        "impression_id",
        BigInteger,
        Identity(always=True, cache=32),
        primary_key=True,
        comment="Name of the impression.",
    ),
    Column("stream", Text, nullable=False, comment="The stream that was asked."),
    Column("user_id", Text, nullable=False, comment="Who was shown it."),
    Column(
        "version_id",
        BigInteger,
        comment="The version that answered; null: popularity alone.",
    ),
    Column(
        "layer",
        Text,
        nullable=False,
        comment="personal, session or popularity: what the answer rests on.",
    ),
    Column(
        "items",
        ARRAY(Text),
        nullable=False,
        comment="What was shown, in order of position.",
    ),
    Column("scores", ARRAY(REAL), nullable=False, comment="Their scores."),
    Column(
        "source",
        Text,
        nullable=False,
        server_default=text("'sql'"),
        comment="sql, http, python or cli.",
    ),
    moment("served_at", "When.", now=True),
    CheckConstraint(
        "cardinality(items) = cardinality(scores)",
        name="impression_has_a_score_per_item",
    ),
    CheckConstraint("layer in ('personal', 'session', 'popularity')", name="layer_known"),
    schema="serving",
    comment="Each answer that was given, so that its outcome can be joined to the version that gave it.",
)
