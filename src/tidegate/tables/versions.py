"""Versions, their weights and evaluations, and encoded texts: what is learned, in the schema `learning`."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    Float,
    ForeignKey,
    Identity,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from tidegate.tables.columns import document, metadata, moment

weights = Table(
    "weights",
    metadata,
    Column(
        "weights_hash",
        Text,
        primary_key=True,
        comment="sha256 of the bytes, in hexadecimal.",
    ),
    Column("content", LargeBinary, nullable=False, comment="A safetensors file."),
    Column(
        "n_bytes",
        BigInteger,
        Computed("octet_length(content)", persisted=True),
        comment="Size.",
    ),
    moment("created_at", "When it was first stored.", now=True),
    CheckConstraint(
        "weights_hash = encode(sha256(content), 'hex')",
        name="weights_named_by_their_hash",
    ),
    schema="learning",
    comment="Weights, addressed by what they contain: the same weights are stored once.",
)

versions = Table(
    "versions",
    metadata,
    Column(
        "version_id",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="Name of the version.",
    ),
    Column(
        "stream",
        Text,
        ForeignKey("learning.streams.stream"),
        nullable=False,
        comment="Stream that it serves.",
    ),
    Column("number", Integer, nullable=False, comment="1, 2, 3 … within the stream."),
    Column(
        "parent_id",
        BigInteger,
        ForeignKey("learning.versions.version_id"),
        comment="Version it was warm-started from.",
    ),
    Column(
        "window_id",
        BigInteger,
        ForeignKey("learning.windows.window_id"),
        nullable=False,
        comment="Window that it learned last.",
    ),
    Column(
        "run_id",
        BigInteger,
        ForeignKey("learning.runs.run_id"),
        nullable=False,
        comment="Run that made it.",
    ),
    Column(
        "weights_hash",
        Text,
        ForeignKey("learning.weights.weights_hash"),
        nullable=False,
        comment="Its weights.",
    ),
    document("scoring", "The linear terms of the score, as serving.recommend reads them."),
    document(
        "manifest",
        "What it takes to train it again: parent, windows with their hashes, seed, settings, code, device.",
    ),
    Column(
        "text_hashes",
        LargeBinary,
        nullable=False,
        server_default=text(r"'\x'::bytea"),
        comment="sha256 of the text of each item that it added, 32 bytes each, in the order of its weights.",
    ),
    Column(
        "verdict",
        Text,
        nullable=False,
        comment="promote or refuse: what the gate said.",
    ),
    Column(
        "reason",
        Text,
        nullable=False,
        comment="Why the gate said so, with its figures.",
    ),
    moment("created_at", "When it was published.", now=True),
    UniqueConstraint("stream", "number"),
    UniqueConstraint("run_id"),
    CheckConstraint("verdict in ('promote', 'refuse')", name="verdict_known"),
    schema="learning",
    comment="Every model version that a gate has judged, promoted or refused.",
)

evaluations = Table(
    "evaluations",
    metadata,
    Column(
        "run_id",
        BigInteger,
        ForeignKey("learning.runs.run_id"),
        nullable=False,
        comment="Run that measured it.",
    ),
    Column(
        "subject",
        Text,
        nullable=False,
        comment="live, candidate, popularity or frequency.",
    ),
    Column(
        "slice",
        Text,
        nullable=False,
        comment="window: all its events before training; holdout: what the gate looked at.",
    ),
    Column("metric", Text, nullable=False, comment="recall@10, ndcg@10 …, events, users."),
    Column("value", Float(53), nullable=False, comment="The figure."),
    Column(
        "version_id",
        BigInteger,
        ForeignKey("learning.versions.version_id"),
        comment="Version that was scored; null for a baseline.",
    ),
    PrimaryKeyConstraint("run_id", "subject", "slice", "metric"),
    CheckConstraint("slice in ('window', 'holdout')", name="slice_known"),
    schema="learning",
    comment="What each run measured. Events are scored before anything has learned from them.",
)

ranking_heads = Table(
    "ranking_heads",
    metadata,
    Column(
        "version_id",
        BigInteger,
        ForeignKey("learning.versions.version_id"),
        primary_key=True,
        comment="Version whose vectors it reads.",
    ),
    Column("service", Text, nullable=False, comment="Feature service that it reads."),
    Column("content", LargeBinary, nullable=False, comment="A safetensors file."),
    Column("scoring", JSONB, comment="Its weights, task by task; null where a hidden layer stands between."),
    document("manifest", "Its settings, and what its training reported: rows, losses, calibration."),
    moment("created_at", "When it was published.", now=True),
    schema="learning",
    comment="What says how probable it is that a user takes an item, for versions that were trained with it.",
)

text_embeddings = Table(
    "text_embeddings",
    metadata,
    Column("encoder", Text, nullable=False, comment="Language model, by name and hash."),
    Column("text_hash", LargeBinary, nullable=False, comment="sha256 of the text."),
    Column("embedding", LargeBinary, nullable=False, comment="float32, little endian."),
    moment("created_at", "When the text was encoded.", now=True),
    PrimaryKeyConstraint("encoder", "text_hash"),
    schema="learning",
    comment="What a frozen language model says of a text, so that each text is encoded once.",
)
