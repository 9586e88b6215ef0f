"""Behaviour events, quarantine, the ledger and files."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Identity,
    Index,
    Integer,
    Interval,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import INT8MULTIRANGE, JSONB

from tidegate.tables.columns import Time, count, figure_columns, metadata, moment

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
        comment="When it happened; a rule says how far from the future it may be.",
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
        comment="The application's own key of the event: a repeat within the horizon is dropped. Null or empty: none.",
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
    Column(
        "keep_keys",
        Interval,
        nullable=False,
        server_default=text("interval '7 days'"),
        comment="How long client keys and batch keys are known, and warnings kept: a repeat after that counts.",
    ),
    CheckConstraint("one_row", name="lifetime_is_one_row"),
    CheckConstraint("keep_events >= interval '1 day'", name="events_are_kept_for_a_day"),
    CheckConstraint("keep_quarantine > interval '0'", name="keep_quarantine_positive"),
    CheckConstraint("keep_impressions > interval '0'", name="keep_impressions_positive"),
    CheckConstraint("seal_after >= interval '0'", name="seal_after_not_negative"),
    CheckConstraint("keep_keys > interval '0'", name="keep_keys_positive"),
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
    moment("redriven_at", "When it passed after all; null: it is still in quarantine.", nullable=True),
    Column("event_id", BigInteger, comment="The event that it became; null for a repeat of one that had come again."),
    CheckConstraint("event_id is null or redriven_at is not null", name="an_event_was_redriven"),
    schema="ingest",
    comment="Events that broke a rule, with the rule. Nothing is lost silently.",
)

raw_events = Table(
    "raw_events",
    metadata,
    Column("stream", Text, comment="Stream that learns from it; empty: default."),
    Column("user_id", Text, comment="Who."),
    Column("item_id", Text, comment="What."),
    Column("event_type", Text, comment="view, click, cart, purchase or rating."),
    Column("value", Text, comment="A number."),
    Column(
        "occurred_at",
        Text,
        comment="ISO 8601, or seconds, milli-, micro- or nanoseconds since 1970; empty: now.",
    ),
    Column("context", Text, comment="JSON."),
    Column("client_key", Text, comment="The application's own key of the event."),
    schema="ingest",
    comment="Events as text, for feeds without types: a trigger types them and hands them on."
    " Empty after each commit. A column that you add goes into the context.",
    prefixes=["UNLOGGED"],
    postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "5000"},
)

rules = Table(
    "rules",
    metadata,
    Column("rule_id", Integer, Identity(always=True), primary_key=True, comment="Name of the row."),
    Column("name", Text, nullable=False, comment="The reason that a quarantined event shows."),
    Column(
        "kind",
        Text,
        nullable=False,
        comment="type, range, allowed, reference, future, rate, duplicate or expression.",
    ),
    Column(
        "severity",
        Text,
        nullable=False,
        server_default=text("'quarantine'"),
        comment="quarantine: the event is set aside; warn: it stays, and ingest.warnings gets a row.",
    ),
    Column("stream", Text, comment="Only events of this stream; null: all."),
    Column("event_type", Text, comment="Only events of this type; null: all."),
    Column("field", Text, comment="What is looked at: a column, or context.KEY."),
    Column("type", Text, comment="Of kind type: number, text, boolean or timestamp."),
    Column("lowest", Float(53), comment="Of kind range: the smallest value that is allowed; null: any."),
    Column("highest", Float(53), comment="Of kind range: the largest value that is allowed; null: any."),
    Column("allowed", ARRAY(Text), comment="Of kind allowed: the values."),
    Column(
        "seconds",
        Integer,
        comment="Of kinds future, rate and duplicate: how far from now, in how long, how close together.",
    ),
    Column("most", Integer, comment="Of kind rate: so many events of a user within the seconds are allowed."),
    Column("expression", Text, comment="Of kind expression: SQL over the event's columns that must hold; null holds."),
    Column("enabled", Boolean, nullable=False, server_default=text("true"), comment="Whether it is in force."),
    moment("created_at", "When.", now=True),
    UniqueConstraint("name"),
    CheckConstraint("length(name) between 1 and 200", name="name_has_1_to_200_characters"),
    CheckConstraint(
        "kind in ('type', 'range', 'allowed', 'reference', 'future', 'rate', 'duplicate', 'expression')",
        name="kind_is_known",
    ),
    CheckConstraint("severity in ('quarantine', 'warn')", name="severity_is_known"),
    CheckConstraint(
        "(kind = 'type') = (type is not null) and type in ('number', 'text', 'boolean', 'timestamp')"
        " and (type is null or field like 'context._%')",
        name="type_is_of_a_context_key",
    ),
    CheckConstraint(
        "(kind = 'range') = (lowest is not null or highest is not null)"
        " and (kind <> 'range' or field = 'value' or field like 'context._%')"
        " and lowest - lowest = 0 and highest - highest = 0 and lowest <= highest",
        name="range_has_finite_bounds_on_a_number",
    ),
    CheckConstraint(
        "(kind = 'allowed') = (allowed is not null) and cardinality(allowed) > 0"
        " and (kind <> 'allowed' or field in ('user_id', 'item_id', 'event_type') or field like 'context._%')",
        name="allowed_has_values_of_a_text",
    ),
    CheckConstraint("kind <> 'reference' or field in ('item_id', 'user_id')", name="reference_is_to_an_item_or_a_user"),
    CheckConstraint(
        "(kind in ('future', 'rate', 'duplicate')) = (seconds is not null) and seconds between 0 and 31622400",
        name="seconds_are_at_most_a_year",
    ),
    CheckConstraint("(kind = 'rate') = (most is not null) and most >= 1", name="rate_has_a_limit"),
    CheckConstraint("(kind = 'expression') = (expression is not null)", name="expression_is_given"),
    CheckConstraint(
        "(field is not null) = (kind in ('type', 'range', 'allowed', 'reference'))",
        name="field_is_given_where_looked_at",
    ),
    schema="ingest",
    comment="What events must be, beyond what every step relies on."
    " A change compiles the enabled rules into functions.",
)

warnings = Table(
    "warnings",
    metadata,
    Column("warning_id", BigInteger, Identity(always=True), primary_key=True, comment="Name of the row."),
    Column(
        "rule", Text, nullable=False, comment="The rule that events broke; or that their client key was seen before."
    ),
    Column("n", Integer, nullable=False, comment="How many events of one statement."),
    Column("example", JSONB, nullable=False, comment="One of them."),
    moment("warned_at", "When.", now=True),
    CheckConstraint("n >= 1", name="warning_is_about_an_event"),
    schema="ingest",
    comment="Events that broke a rule of severity warn and stayed, and repeats that were dropped:"
    " one row a statement and rule.",
)

recent_events = Table(
    "recent_events",
    metadata,
    Column("stream", Text, nullable=False, comment="Stream of the event."),
    Column("user_id", Text, nullable=False, comment="Who."),
    Column("item_id", Text, nullable=False, comment="What."),
    Column("event_type", Text, nullable=False, comment="Which type."),
    Column("occurred_at", Time, nullable=False, comment="When it happened."),
    Column("received_at", Time, nullable=False, server_default=text("now()"), comment="When it was written."),
    Index("recent_events_user_id_occurred_at_idx", "user_id", "occurred_at"),
    schema="ingest",
    comment="What rate and duplicate rules remember; written only while one is enabled, and never updated.",
    prefixes=["UNLOGGED"],
    postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "20000"},
)

client_keys = Table(
    "client_keys",
    metadata,
    Column("stream", Text, comment="Stream of the event."),
    Column("client_key", Text, comment="The application's own key of the event."),
    Column("event_id", BigInteger, nullable=False, comment="The event that came first."),
    Column("seen_at", Time, nullable=False, server_default=text("now()"), comment="When."),
    PrimaryKeyConstraint("stream", "client_key"),
    Index("client_keys_seen_at_idx", "seen_at", postgresql_using="brin"),
    schema="ingest",
    comment="Client keys within the horizon: an event whose key is here is a repeat.",
)

batch_keys = Table(
    "batch_keys",
    metadata,
    Column("batch_key", Text, primary_key=True, comment="The application's own key of a batch."),
    Column("begun_by", BigInteger, nullable=False, comment="Number of the transaction that has begun it."),
    Column("begun_at", Time, nullable=False, comment="Start of that transaction."),
    schema="ingest",
    comment="Batches that have been written within the horizon: ingest.begin_batch() says no to their keys.",
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

batch_figures = Table(
    "batch_figures",
    metadata,
    Column("stream", Text, nullable=False, comment="Stream of the batch."),
    Column("lo", BigInteger, nullable=False, comment="Its smallest event_id, which is its name."),
    Column("n", Integer, nullable=False, comment="Number of its events."),
    *figure_columns(),
    moment("noted_at", "When it was measured.", now=True),
    PrimaryKeyConstraint("stream", "lo", "figure"),
    Index("batch_figures_noted_at_idx", "noted_at"),
    schema="ingest",
    comment="What each large batch measured before it was folded, against earlier ones; for thirty days.",
)
