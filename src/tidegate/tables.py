"""The tables of the five schemas, as SQLAlchemy metadata.

The migrations make the tables; this module exists so that a test can prove that both say the same, and so
that a reader finds every column, constraint and comment in one place. Behaviour (triggers, functions) lives
in migrations/sql.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from pgvector.sqlalchemy import Vector
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, INT8MULTIRANGE, JSONB, REAL

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


# --- catalogue -------------------------------------------------------------------------------------------------------

users = Table(
    "users",
    metadata,
    Column(
        "user_id",
        Text,
        primary_key=True,
        comment="The application's own name of the user.",
    ),
    document("attributes", "Whatever the application knows; not read by the recommender yet."),
    moment("created_at", "When the row was made.", now=True),
    CheckConstraint("length(user_id) between 1 and 256", name="user_id_has_1_to_256_characters"),
    schema="catalogue",
    comment="Known users. Optional: events of users that are not here are learned from all the same.",
)

items = Table(
    "items",
    metadata,
    Column(
        "item_id",
        Text,
        primary_key=True,
        comment="The application's own name of the item.",
    ),
    Column("title", Text, comment="First part of the text that the language model reads."),
    Column(
        "category",
        Text,
        comment="Second part of the text; also the key of category affinity.",
    ),
    Column("price", Float(53), comment="Current price, in the application's currency."),
    document(
        "attributes",
        "Further text for the language model: values in the order of their keys.",
    ),
    Column(
        "available",
        Boolean,
        nullable=False,
        server_default=text("true"),
        comment="False hides the item from every recommendation from this commit on.",
    ),
    Column(
        "adopted",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="True while the item is known from events only; cleared when the catalogue names it.",
    ),
    moment("created_at", "When the row was made.", now=True),
    moment("updated_at", "When the row last changed.", now=True),
    CheckConstraint("length(item_id) between 1 and 256", name="item_id_has_1_to_256_characters"),
    CheckConstraint("price >= 0", name="price_not_negative"),
    schema="catalogue",
    comment="What can be recommended. An item that only events know is adopted here by the keeper, without text.",
)

# --- learning --------------------------------------------------------------------------------------------------------

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

# --- ingest ----------------------------------------------------------------------------------------------------------

behaviour_events = Table(
    "behaviour_events",
    metadata,
    Column(
        "event_id",
        BigInteger,
        Identity(always=True, cache=32),
        nullable=False,
        comment="Name of the event; cached by 32 so that a session's ids form runs.",
    ),
    Column(
        "stream",
        Text,
        server_default=text("'default'"),
        comment="Stream that learns from it.",
    ),
    Column(
        "user_id",
        Text,
        comment="Who. Null, empty or longer than 256 characters: quarantined.",
    ),
    Column(
        "item_id",
        Text,
        comment="What. Null, empty or longer than 256 characters: quarantined.",
    ),
    Column(
        "event_type",
        Text,
        comment="view, click, cart, purchase or rating; anything else: quarantined.",
    ),
    Column(
        "value",
        Float(53),
        comment="Amount of a purchase, stars of a rating; not a number or infinite: quarantined.",
    ),
    Column(
        "occurred_at",
        Time,
        server_default=text("now()"),
        comment="When it happened; later than five minutes from now: quarantined.",
    ),
    Column(
        "ingested_at",
        Time,
        nullable=False,
        server_default=text("now()"),
        comment="Partition key: start of the writing transaction.",
    ),
    Column("context", JSONB, comment="Whatever the application adds; null or an object."),
    Column(
        "client_key",
        Text,
        comment="The application's own key of the event, handed on as it is.",
    ),
    PrimaryKeyConstraint("event_id", "ingested_at"),
    schema="ingest",
    postgresql_partition_by="RANGE (ingested_at)",
    comment="Append only. The one table that an application writes; a statement trigger cleans, counts and nudges.",
)

quarantined_events = Table(
    "quarantined_events",
    metadata,
    Column(
        "quarantine_id",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="Name of the row.",
    ),
    Column("event", JSONB, nullable=False, comment="The row as it was written."),
    Column("reason", Text, nullable=False, comment="The rule that it broke."),
    moment("quarantined_at", "When.", now=True),
    schema="ingest",
    comment="Events that broke a rule, with the rule. Nothing is lost silently.",
)


files = Table(
    "files",
    metadata,
    Column("file_id", BigInteger, Identity(always=True), primary_key=True, comment="Name of the row."),
    Column("path", Text, nullable=False, comment="Where the file was when it was last read."),
    Column("n_bytes", BigInteger, nullable=False, comment="Size."),
    Column("content_hash", Text, nullable=False, comment="sha256 of the content, in hexadecimal."),
    Column(
        "reading",
        JSONB,
        nullable=False,
        comment="How it is read: kind, column mapping, constants. Another reading is another ingest.",
    ),
    count(
        "rows_done",
        "Rows that are committed, the quarantined ones included: the next ingest begins after them.",
    ),
    count("rows_refused", "Rows of rows_done that were quarantined (events) or left out (catalogue)."),
    moment("started_at", "When it was first read.", now=True),
    moment("finished_at", "When its last row was committed; null: not all of it is in.", nullable=True),
    UniqueConstraint("content_hash", "reading"),
    CheckConstraint("rows_refused between 0 and rows_done", name="refused_rows_are_done_rows"),
    CheckConstraint("finished_at >= started_at", name="file_finished_after_it_started"),
    schema="ingest",
    comment="Files that `tidegate ingest` has read, and how far: written in the transaction of each chunk.",
)


def ledger(name: str, schema: str, comment: str) -> Table:
    """Return a keyless table of batches: one row a statement and stream, written by the trigger and never updated."""
    return Table(
        name,
        metadata,
        Column("stream", Text, nullable=False, comment="Stream of the batch."),
        Column("n", Integer, nullable=False, comment="Number of events."),
        Column("lo", BigInteger, nullable=False, comment="Smallest event_id."),
        Column("hi", BigInteger, nullable=False, comment="Largest event_id."),
        Column(
            "ids",
            INT8MULTIRANGE,
            comment="The event ids, where they are not all of lo to hi.",
        ),
        Column("t0", Time, nullable=False, comment="Smallest ingested_at."),
        Column("t1", Time, nullable=False, comment="Largest ingested_at."),
        schema=schema,
        comment=comment,
        postgresql_with={
            "autovacuum_vacuum_scale_factor": "0",
            "autovacuum_vacuum_threshold": "20000",
        },
    )


batches = ledger("batches", "ingest", "The ledger: batches of events that no window owns yet.")
unfolded_batches = ledger(
    "unfolded_batches",
    "features",
    "Batches that the keeper has not folded into the live features yet.",
)

# --- features --------------------------------------------------------------------------------------------------------


def activity() -> list[Column[Any]]:
    """Return the columns that users and items share: counts by type, decayed counts and recency."""
    return [
        count("n_events", "Events of any type."),
        count("n_view", "Views."),
        count("n_click", "Clicks."),
        count("n_cart", "Additions to a cart."),
        count("n_purchase", "Purchases."),
        count("n_rating", "Ratings."),
        amount("decayed_day", "Events, each halved every day, as of last_event_at."),
        amount("decayed_week", "Events, each halved every seven days, as of last_event_at."),
        amount(
            "decayed_month",
            "Events, each halved every thirty days, as of last_event_at.",
        ),
        amount("spend", "Sum of the values of purchases."),
        amount("rating_sum", "Sum of the values of ratings."),
    ]


def activity_times() -> list[Column[Any]]:
    """Return when a user or an item was first and last seen."""
    return [
        moment("first_event_at", "Time of the earliest event."),
        moment("last_event_at", "Time of the latest event."),
    ]


# Rows here are updated all the time: room on the page keeps the updates in place.
LIVE = {"fillfactor": "70", "autovacuum_vacuum_scale_factor": "0.05"}

user_activity = Table(
    "user_activity",
    metadata,
    Column("user_id", Text, primary_key=True, comment="The user."),
    *activity(),
    *activity_times(),
    Column(
        "recent_items",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{}'"),
        comment="Items of the last 100 events, oldest first.",
    ),
    Column(
        "recent_types",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{}'"),
        comment="Types of the same events.",
    ),
    Column(
        "recent_times",
        ARRAY(Time),
        nullable=False,
        server_default=text("'{}'"),
        comment="Times of the same events.",
    ),
    document(
        "category_affinity",
        "Events by category, halved every thirty days, as of last_event_at; the twenty largest.",
    ),
    moment("folded_at", "When the keeper last touched the row.", now=True),
    schema="features",
    postgresql_with=LIVE,
    comment="Live features of a user. A read that must see its own write merges the batches not folded yet.",
)

item_activity = Table(
    "item_activity",
    metadata,
    Column("item_id", Text, primary_key=True, comment="The item."),
    *activity(),
    *activity_times(),
    moment("folded_at", "When the keeper last touched the row.", now=True),
    schema="features",
    postgresql_with=LIVE,
    comment="Live features of an item: its popularity by period.",
)

user_item_activity = Table(
    "user_item_activity",
    metadata,
    Column("user_id", Text, nullable=False, comment="The user."),
    Column("item_id", Text, nullable=False, comment="The item."),
    count("n_events", "Events of the pair."),
    amount("decayed_day", "Events, each halved every day, as of last_event_at."),
    amount("decayed_week", "Events, each halved every seven days, as of last_event_at."),
    amount("decayed_month", "Events, each halved every thirty days, as of last_event_at."),
    *activity_times(),
    PrimaryKeyConstraint("user_id", "item_id"),
    schema="features",
    postgresql_with=LIVE,
    comment="Live features of a user with an item: what repeat consumption is predicted from.",
)

clocks = Table(
    "clocks",
    metadata,
    Column("stream", Text, primary_key=True, comment="The stream."),
    moment("last_event_at", "Time of the newest event that was folded."),
    schema="features",
    comment="The present of each stream: the time of its newest event. A replay of last year has its own present.",
)

user_timelines = Table(
    "user_timelines",
    metadata,
    Column("user_id", Text, nullable=False, comment="The user."),
    Column("position", BigInteger, nullable=False, comment="Position of the window."),
    Column("stream", Text, nullable=False, comment="Stream of the window."),
    Column(
        "bucket",
        SmallInteger,
        nullable=False,
        comment="Hash of the user, 0 to 1023: replay draws users by it.",
    ),
    Column("n", Integer, nullable=False, comment="Number of events."),
    Column("item_ids", ARRAY(Text), nullable=False, comment="Items, in order of time."),
    Column(
        "event_types",
        ARRAY(SmallInteger),
        nullable=False,
        comment="0 view, 1 click, 2 cart, 3 purchase, 4 rating.",
    ),
    Column(
        "occurred",
        ARRAY(Float(53)),
        nullable=False,
        comment="Times, in seconds since 1970.",
    ),
    Column(
        "event_values",
        ARRAY(REAL),
        nullable=False,
        comment="Values; NaN where the event has none.",
    ),
    PrimaryKeyConstraint("user_id", "position"),
    Index("user_timelines_replay_idx", "position", "bucket"),
    schema="features",
    comment="One row a user and window: what a run reads as history. Immutable, so a run can be repeated exactly.",
)


def history(name: str, key: str, comment: str) -> Table:
    """Return a history table: the activity columns as they were just after each event_timestamp."""
    return Table(
        name,
        metadata,
        Column(key, Text, nullable=False, comment="The entity."),
        moment("event_timestamp", "The row holds from just after this time."),
        *activity(),
        moment("first_event_at", "Time of the earliest event."),
        Column(
            "position",
            BigInteger,
            nullable=False,
            comment="Position of the window that made the row.",
        ),
        moment("created_at", "When the row was made.", now=True),
        PrimaryKeyConstraint(key, "event_timestamp", "position"),
        Index(f"{name}_position_idx", "position"),
        schema="features",
        comment=comment,
    )


user_activity_history = history(
    "user_activity_history",
    "user_id",
    "User features after each moment of a user, for point-in-time retrieval.",
)
item_activity_history = history(
    "item_activity_history",
    "item_id",
    "Item features at the end of each day with an event, for point-in-time retrieval.",
)

# --- serving ---------------------------------------------------------------------------------------------------------

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
    PrimaryKeyConstraint("version_id", "item_id"),
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
