"""Behaviour events, quarantine, the ledger and files."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Identity,
    Integer,
    Interval,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import INT8MULTIRANGE, JSONB

from tidegate.tables.columns import Time, count, metadata, moment

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

kept_events = Table(
    "kept_events",
    metadata,
    Column("event_id", BigInteger, primary_key=True, autoincrement=False, comment="Name of the event."),
    Column("stream", Text, comment="Stream that learned from it."),
    Column("user_id", Text, comment="Who."),
    Column("item_id", Text, comment="What."),
    Column("event_type", Text, comment="view, click, cart, purchase or rating."),
    Column("value", Float(53), comment="Amount of a purchase, stars of a rating."),
    Column("occurred_at", Time, comment="When it happened."),
    Column("ingested_at", Time, nullable=False, comment="When it was written."),
    Column("context", JSONB, comment="What the application added."),
    Column("client_key", Text, comment="The application's own key of the event."),
    schema="ingest",
    comment="Events past retention of streams that keep theirs: the columns of behaviour_events, in their order.",
)

lifetime = Table(
    "lifetime",
    metadata,
    Column(
        "one_row",
        Boolean,
        primary_key=True,
        server_default=text("true"),
        comment="True: there is one lifetime for all events.",
    ),
    Column(
        "keep_events",
        Interval,
        comment="Days older than this are dropped whole; null: never. Live features and timelines outlive them.",
    ),
    Column(
        "keep_quarantine",
        Interval,
        server_default=text("interval '90 days'"),
        comment="Long enough for an operator to find, explain and redrive what was refused; null: for ever.",
    ),
    Column(
        "keep_impressions",
        Interval,
        comment="The lineage of every answer, and the base of live click rates; null: for ever.",
    ),
    Column(
        "seal_after",
        Interval,
        nullable=False,
        server_default=text("interval '1 hour'"),
        comment="A day is indexed so long after its end: transactions that began in it have ended.",
    ),
    CheckConstraint("one_row", name="lifetime_is_one_row"),
    CheckConstraint("keep_events >= interval '1 day'", name="events_are_kept_for_a_day"),
    CheckConstraint("keep_quarantine > interval '0'", name="keep_quarantine_positive"),
    CheckConstraint("keep_impressions > interval '0'", name="keep_impressions_positive"),
    CheckConstraint("seal_after >= interval '0'", name="seal_after_not_negative"),
    schema="ingest",
    comment="How long events, quarantine and impressions are kept. The keeper obeys it once an hour.",
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
            "autovacuum_vacuum_cost_delay": "0",
        },
    )


batches = ledger("batches", "ingest", "The ledger: batches of events that no window owns yet.")
unfolded_batches = ledger(
    "unfolded_batches",
    "features",
    "Batches that the keeper has not folded into the live features yet.",
)
