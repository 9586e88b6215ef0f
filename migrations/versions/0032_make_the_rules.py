"""Make the tables of rules, warnings and of what rules and keys remember."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0032"
down_revision = "0031"

Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "rules",
        *rule_columns(),
        sa.PrimaryKeyConstraint("rule_id", name=op.f("rules_pkey")),
        sa.UniqueConstraint("name", name=op.f("rules_name_key")),
        *rule_constraints(),
        schema="ingest",
        comment="What events must be, beyond what every step relies on."
        " A change compiles the enabled rules into functions.",
    )
    op.create_table(
        "warnings",
        sa.Column("warning_id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Name of the row."),
        sa.Column(
            "rule",
            sa.Text(),
            nullable=False,
            comment="The rule that events broke; or that their client key was seen before.",
        ),
        sa.Column("n", sa.Integer(), nullable=False, comment="How many events of one statement."),
        sa.Column("example", pg.JSONB(astext_type=sa.Text()), nullable=False, comment="One of them."),
        sa.Column("warned_at", Time, server_default=sa.text("clock_timestamp()"), nullable=False, comment="When."),
        sa.PrimaryKeyConstraint("warning_id", name=op.f("warnings_pkey")),
        sa.CheckConstraint("n >= 1", name=op.f("warning_is_about_an_event")),
        schema="ingest",
        comment="Events that broke a rule of severity warn and stayed, and repeats that were dropped:"
        " one row a statement and rule.",
    )
    op.create_table(
        "recent_events",
        sa.Column("stream", sa.Text(), nullable=False, comment="Stream of the event."),
        sa.Column("user_id", sa.Text(), nullable=False, comment="Who."),
        sa.Column("item_id", sa.Text(), nullable=False, comment="What."),
        sa.Column("event_type", sa.Text(), nullable=False, comment="Which type."),
        sa.Column("occurred_at", Time, nullable=False, comment="When it happened."),
        sa.Column("received_at", Time, server_default=sa.text("now()"), nullable=False, comment="When it was written."),
        schema="ingest",
        comment="What rate and duplicate rules remember; written only while one is enabled, and never updated.",
        prefixes=["UNLOGGED"],
        postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "20000"},
    )
    op.create_index(
        op.f("recent_events_user_id_occurred_at_idx"), "recent_events", ["user_id", "occurred_at"], schema="ingest"
    )
    op.create_table(
        "client_keys",
        sa.Column("stream", sa.Text(), nullable=False, comment="Stream of the event."),
        sa.Column("client_key", sa.Text(), nullable=False, comment="The application's own key of the event."),
        sa.Column("event_id", sa.BigInteger(), nullable=False, comment="The event that came first."),
        sa.Column("seen_at", Time, server_default=sa.text("now()"), nullable=False, comment="When."),
        sa.PrimaryKeyConstraint("stream", "client_key", name=op.f("client_keys_pkey")),
        schema="ingest",
        comment="Client keys within the horizon: an event whose key is here is a repeat.",
    )
    op.create_index(
        op.f("client_keys_seen_at_idx"), "client_keys", ["seen_at"], schema="ingest", postgresql_using="brin"
    )
    op.create_table(
        "batch_keys",
        sa.Column("batch_key", sa.Text(), nullable=False, comment="The application's own key of a batch."),
        sa.Column("begun_by", sa.BigInteger(), nullable=False, comment="Number of the transaction that has begun it."),
        sa.Column("begun_at", Time, nullable=False, comment="Start of that transaction."),
        sa.PrimaryKeyConstraint("batch_key", name=op.f("batch_keys_pkey")),
        schema="ingest",
        comment="Batches that have been written within the horizon: ingest.begin_batch() says no to their keys.",
    )
    op.add_column(
        "quarantined_events",
        sa.Column("redriven_at", Time, comment="When it passed after all; null: it is still in quarantine."),
        schema="ingest",
    )
    op.add_column(
        "quarantined_events",
        sa.Column(
            "event_id",
            sa.BigInteger(),
            comment="The event that it became; null for a repeat of one that had come again.",
        ),
        schema="ingest",
    )
    op.create_check_constraint(
        op.f("an_event_was_redriven"),
        "quarantined_events",
        "event_id is null or redriven_at is not null",
        schema="ingest",
    )


def downgrade() -> None:
    """Revert."""
    op.drop_constraint(op.f("an_event_was_redriven"), "quarantined_events", schema="ingest")
    op.drop_column("quarantined_events", "event_id", schema="ingest")
    op.drop_column("quarantined_events", "redriven_at", schema="ingest")
    for table in ("batch_keys", "client_keys", "recent_events", "warnings", "rules"):
        op.drop_table(table, schema="ingest")


def rule_columns() -> tuple[sa.Column, ...]:
    """Return the columns of ingest.rules."""
    return (
        sa.Column("rule_id", sa.Integer(), sa.Identity(always=True), nullable=False, comment="Name of the row."),
        sa.Column("name", sa.Text(), nullable=False, comment="The reason that a quarantined event shows."),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="type, range, allowed, reference, future, rate, duplicate or expression.",
        ),
        sa.Column(
            "severity",
            sa.Text(),
            server_default=sa.text("'quarantine'"),
            nullable=False,
            comment="quarantine: the event is set aside; warn: it stays, and ingest.warnings gets a row.",
        ),
        sa.Column("stream", sa.Text(), comment="Only events of this stream; null: all."),
        sa.Column("event_type", sa.Text(), comment="Only events of this type; null: all."),
        sa.Column("field", sa.Text(), comment="What is looked at: a column, or context.KEY."),
        sa.Column("type", sa.Text(), comment="Of kind type: number, text, boolean or timestamp."),
        sa.Column("lowest", sa.Float(53), comment="Of kind range: the smallest value that is allowed; null: any."),
        sa.Column("highest", sa.Float(53), comment="Of kind range: the largest value that is allowed; null: any."),
        sa.Column("allowed", sa.ARRAY(sa.Text()), comment="Of kind allowed: the values."),
        sa.Column(
            "seconds",
            sa.Integer(),
            comment="Of kinds future, rate and duplicate: how far from now, in how long, how close together.",
        ),
        sa.Column(
            "most", sa.Integer(), comment="Of kind rate: so many events of a user within the seconds are allowed."
        ),
        sa.Column(
            "expression",
            sa.Text(),
            comment="Of kind expression: SQL over the event's columns that must hold; null holds.",
        ),
        sa.Column(
            "enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False, comment="Whether it is in force."
        ),
        sa.Column("created_at", Time, server_default=sa.text("clock_timestamp()"), nullable=False, comment="When."),
    )


def rule_constraints() -> tuple[sa.CheckConstraint, ...]:
    """Return what each kind of rule needs."""
    return (
        sa.CheckConstraint("length(name) between 1 and 200", name=op.f("name_has_1_to_200_characters")),
        sa.CheckConstraint(
            "kind in ('type', 'range', 'allowed', 'reference', 'future', 'rate', 'duplicate', 'expression')",
            name=op.f("kind_is_known"),
        ),
        sa.CheckConstraint("severity in ('quarantine', 'warn')", name=op.f("severity_is_known")),
        sa.CheckConstraint(
            "(kind = 'type') = (type is not null) and type in ('number', 'text', 'boolean', 'timestamp')"
            " and (type is null or field like 'context._%')",
            name=op.f("type_is_of_a_context_key"),
        ),
        sa.CheckConstraint(
            "(kind = 'range') = (lowest is not null or highest is not null)"
            " and (kind <> 'range' or field = 'value' or field like 'context._%')"
            " and lowest - lowest = 0 and highest - highest = 0 and lowest <= highest",
            name=op.f("range_has_finite_bounds_on_a_number"),
        ),
        sa.CheckConstraint(
            "(kind = 'allowed') = (allowed is not null) and cardinality(allowed) > 0"
            " and (kind <> 'allowed' or field in ('user_id', 'item_id', 'event_type') or field like 'context._%')",
            name=op.f("allowed_has_values_of_a_text"),
        ),
        sa.CheckConstraint(
            "kind <> 'reference' or field in ('item_id', 'user_id')", name=op.f("reference_is_to_an_item_or_a_user")
        ),
        sa.CheckConstraint(
            "(kind in ('future', 'rate', 'duplicate')) = (seconds is not null) and seconds between 0 and 31622400",
            name=op.f("seconds_are_at_most_a_year"),
        ),
        sa.CheckConstraint("(kind = 'rate') = (most is not null) and most >= 1", name=op.f("rate_has_a_limit")),
        sa.CheckConstraint("(kind = 'expression') = (expression is not null)", name=op.f("expression_is_given")),
        sa.CheckConstraint(
            "(field is not null) = (kind in ('type', 'range', 'allowed', 'reference'))",
            name=op.f("field_is_given_where_looked_at"),
        ),
    )
