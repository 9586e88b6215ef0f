"""Streams, windows, runs, versions, weights and evaluations."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Interval,
    LargeBinary,
    PrimaryKeyConstraint,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import INT8MULTIRANGE

from tidegate.tables.columns import Time, document, metadata, moment

streams = Table(
    "streams",
    metadata,
    Column(
        "stream",
        Text,
        primary_key=True,
        comment="Name that events carry; 'default' where they carry none.",
    ),
    Column(
        "threshold",
        Integer,
        nullable=False,
        server_default=text("10000"),
        comment="New events that make a window.",
    ),
    Column(
        "max_age",
        Interval,
        comment="A window is cut when its oldest batch is this old, full or not; null: never.",
    ),
    Column(
        "repeats",
        Boolean,
        nullable=False,
        server_default=text("true"),
        comment="False where an item that a user has had must not be recommended to that user again.",
    ),
    document("settings", "Overrides of the fit settings for this stream's increments."),
    moment("created_at", "When the stream was made.", now=True),
    CheckConstraint("threshold > 0", name="threshold_positive"),
    CheckConstraint("max_age > interval '0'", name="max_age_positive"),
    CheckConstraint("length(stream) between 1 and 64", name="stream_has_1_to_64_characters"),
    schema="learning",
    comment="A stream of events with a model of its own, and what makes it train.",
)

windows = Table(
    "windows",
    metadata,
    Column(
        "window_id",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="Name of the window.",
    ),
    Column(
        "stream",
        Text,
        ForeignKey("learning.streams.stream"),
        nullable=False,
        comment="Stream of its events.",
    ),
    Column("n", BigInteger, nullable=False, comment="Number of events."),
    Column(
        "ids",
        INT8MULTIRANGE,
        nullable=False,
        comment="The events, by event_id: fixed for ever.",
    ),
    Column(
        "t0",
        Time,
        nullable=False,
        comment="Smallest ingested_at of its events: bounds the partitions to read.",
    ),
    Column("t1", Time, nullable=False, comment="Largest ingested_at of its events."),
    Column(
        "position",
        BigInteger,
        unique=True,
        comment="Order in which windows became features; what a window may know is what has a smaller position.",
    ),
    Column(
        "state",
        Text,
        nullable=False,
        server_default=text("'cut'"),
        comment="cut, ready, trained or parked.",
    ),
    Column("reason", Text, comment="Why it is parked."),
    moment(
        "crossed_at",
        "When the insert that crossed the threshold looked; null where the sweep cut it.",
        nullable=True,
    ),
    moment("cut_at", "When it was cut.", now=True),
    moment("ready_at", "When its features were materialised.", nullable=True),
    moment("nudged_at", "When the sweep last repeated its task.", nullable=True),
    moment("finished_at", "When it was trained or parked.", nullable=True),
    moment("retried_at", "When an operator last asked for another round of attempts.", nullable=True),
    CheckConstraint("n > 0", name="window_not_empty"),
    CheckConstraint("t0 <= t1", name="window_times_in_order"),
    CheckConstraint("state in ('cut', 'ready', 'trained', 'parked')", name="window_state_known"),
    CheckConstraint(
        "state in ('cut', 'parked') or position is not null",
        name="materialised_window_has_position",
    ),
    CheckConstraint("(state = 'parked') = (reason is not null)", name="parked_window_has_reason"),
    CheckConstraint(
        "(state in ('trained', 'parked')) = (finished_at is not null)",
        name="finished_at_iff_finished",
    ),
    Index(
        "windows_unfinished_idx",
        "stream",
        "window_id",
        postgresql_where=text("state in ('cut', 'ready')"),
    ),
    schema="learning",
    comment="A fixed set of events of one stream. No committed event is in none or in two.",
)

fencing_tokens = Sequence("fencing_tokens", schema="learning", metadata=metadata)

runs = Table(
    "runs",
    metadata,
    Column(
        "run_id",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="Name of the run.",
    ),
    Column(
        "window_id",
        BigInteger,
        ForeignKey("learning.windows.window_id"),
        nullable=False,
        comment="Window it trains.",
    ),
    Column("attempt", Integer, nullable=False, comment="1 for the first run of the window."),
    Column(
        "token",
        BigInteger,
        nullable=False,
        unique=True,
        server_default=text("nextval('learning.fencing_tokens')"),
        comment="Fencing token: publishing fails unless it is still the window's newest.",
    ),
    Column("worker", Text, nullable=False, comment="Host and process that holds the lease."),
    Column(
        "state",
        Text,
        nullable=False,
        server_default=text("'running'"),
        comment="running, succeeded, failed, expired.",
    ),
    moment("claimed_at", "When the lease was taken.", now=True),
    moment("heartbeat_at", "When the holder last said that it lives.", now=True),
    moment("lease_until", "When the lease ends unless it is renewed."),
    moment("finished_at", "When it ended.", nullable=True),
    Column("error", Text, comment="What went wrong, with its traceback."),
    UniqueConstraint("window_id", "attempt"),
    CheckConstraint("attempt > 0", name="attempt_positive"),
    CheckConstraint("state in ('running', 'succeeded', 'failed', 'expired')", name="run_state_known"),
    CheckConstraint(
        "(state = 'running') = (finished_at is null)",
        name="run_finished_at_iff_not_running",
    ),
    CheckConstraint("state <> 'failed' or error is not null", name="failed_run_has_error"),
    Index(
        "runs_one_running_per_window_idx",
        "window_id",
        unique=True,
        postgresql_where=text("state = 'running'"),
    ),
    schema="learning",
    comment="An attempt to train on a window: a lease with a heartbeat and a fencing token.",
)

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
        "Parent, window, seed, settings, library versions, seconds of each step.",
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

queue_bindings = Table(
    "queue_bindings",
    metadata,
    Column("exchange", Text, nullable=False, comment="Direct exchange."),
    Column("routing_key", Text, nullable=False, comment="Routing key."),
    Column("pattern", Text, nullable=False, comment="Pattern, as the transport keeps it."),
    Column("queue", Text, nullable=False, comment="Queue that is bound."),
    PrimaryKeyConstraint("exchange", "routing_key", "pattern", "queue"),
    schema="learning",
    comment="Direct bindings of the PostgreSQL broker: without them Celery loses replies.",
)
