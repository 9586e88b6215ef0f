"""Make the tables of streams, windows and runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Apply."""
    op.execute(sa.schema.CreateSequence(sa.Sequence("fencing_tokens", schema="learning")))
    op.create_table(
        "streams",
        sa.Column(
            "stream",
            sa.Text(),
            nullable=False,
            comment="Name that events carry; 'default' where they carry none.",
        ),
        sa.Column(
            "threshold",
            sa.Integer(),
            server_default=sa.text("10000"),
            nullable=False,
            comment="New events that make a window.",
        ),
        sa.Column(
            "max_age",
            sa.Interval(),
            nullable=True,
            comment="A window is cut when its oldest batch is this old, full or not; null: never.",
        ),
        sa.Column(
            "repeats",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="False where an item that a user has had must not be recommended to that user again.",
        ),
        sa.Column(
            "settings",
            pg.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="Overrides of the fit settings for this stream's increments.",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When the stream was made.",
        ),
        sa.CheckConstraint("max_age > interval '0'", name=op.f("max_age_positive")),
        sa.CheckConstraint("length(stream) between 1 and 64", name=op.f("stream_has_1_to_64_characters")),
        sa.CheckConstraint("threshold > 0", name=op.f("threshold_positive")),
        sa.PrimaryKeyConstraint("stream", name=op.f("streams_pkey")),
        schema="learning",
        comment="A stream of events with a model of its own, and what makes it train.",
    )
    op.create_table(
        "windows",
        sa.Column(
            "window_id",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="Name of the window.",
        ),
        sa.Column("stream", sa.Text(), nullable=False, comment="Stream of its events."),
        sa.Column("n", sa.BigInteger(), nullable=False, comment="Number of events."),
        sa.Column("ids", pg.INT8MULTIRANGE(), nullable=False, comment="The events, by event_id: fixed for ever."),
        sa.Column(
            "t0",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Smallest ingested_at of its events: bounds the partitions to read.",
        ),
        sa.Column("t1", sa.DateTime(timezone=True), nullable=False, comment="Largest ingested_at of its events."),
        sa.Column(
            "position",
            sa.BigInteger(),
            nullable=True,
            comment="Order in which windows became features; what a window may know is what has a smaller position.",
        ),
        sa.Column(
            "state",
            sa.Text(),
            server_default=sa.text("'cut'"),
            nullable=False,
            comment="cut, ready, trained or parked.",
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="Why it is parked."),
        sa.Column(
            "crossed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the insert that crossed the threshold looked; null where the sweep cut it.",
        ),
        sa.Column(
            "cut_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When it was cut.",
        ),
        sa.Column(
            "ready_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When its features were materialised.",
        ),
        sa.Column(
            "nudged_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the sweep last repeated its task.",
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True, comment="When it was trained or parked."),
        sa.CheckConstraint("(state = 'parked') = (reason is not null)", name=op.f("parked_window_has_reason")),
        sa.CheckConstraint(
            "(state in ('trained', 'parked')) = (finished_at is not null)",
            name=op.f("finished_at_iff_finished"),
        ),
        sa.CheckConstraint(
            "state in ('cut', 'parked') or position is not null",
            name=op.f("materialised_window_has_position"),
        ),
        sa.CheckConstraint("state in ('cut', 'ready', 'trained', 'parked')", name=op.f("window_state_known")),
        sa.CheckConstraint("n > 0", name=op.f("window_not_empty")),
        sa.CheckConstraint("t0 <= t1", name=op.f("window_times_in_order")),
        sa.ForeignKeyConstraint(["stream"], ["learning.streams.stream"], name=op.f("windows_stream_fkey")),
        sa.PrimaryKeyConstraint("window_id", name=op.f("windows_pkey")),
        sa.UniqueConstraint("position", name=op.f("windows_position_key")),
        schema="learning",
        comment="A fixed set of events of one stream. No committed event is in none or in two.",
    )
    op.create_index(
        "windows_unfinished_idx",
        "windows",
        ["stream", "window_id"],
        unique=False,
        schema="learning",
        postgresql_where=sa.text("state in ('cut', 'ready')"),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Name of the run."),
        sa.Column("window_id", sa.BigInteger(), nullable=False, comment="Window it trains."),
        sa.Column("attempt", sa.Integer(), nullable=False, comment="1 for the first run of the window."),
        sa.Column(
            "token",
            sa.BigInteger(),
            server_default=sa.text("nextval('learning.fencing_tokens')"),
            nullable=False,
            comment="Fencing token: publishing fails unless it is still the window's newest.",
        ),
        sa.Column("worker", sa.Text(), nullable=False, comment="Host and process that holds the lease."),
        sa.Column(
            "state",
            sa.Text(),
            server_default=sa.text("'running'"),
            nullable=False,
            comment="running, succeeded, failed, expired.",
        ),
        sa.Column(
            "claimed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When the lease was taken.",
        ),
        sa.Column(
            "heartbeat_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When the holder last said that it lives.",
        ),
        sa.Column(
            "lease_until",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When the lease ends unless it is renewed.",
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True, comment="When it ended."),
        sa.Column("error", sa.Text(), nullable=True, comment="What went wrong, with its traceback."),
        sa.CheckConstraint("(state = 'running') = (finished_at is null)", name=op.f("run_finished_at_iff_not_running")),
        sa.CheckConstraint("state <> 'failed' or error is not null", name=op.f("failed_run_has_error")),
        sa.CheckConstraint("state in ('running', 'succeeded', 'failed', 'expired')", name=op.f("run_state_known")),
        sa.CheckConstraint("attempt > 0", name=op.f("attempt_positive")),
        sa.ForeignKeyConstraint(["window_id"], ["learning.windows.window_id"], name=op.f("runs_window_id_fkey")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("runs_pkey")),
        sa.UniqueConstraint("token", name=op.f("runs_token_key")),
        sa.UniqueConstraint("window_id", "attempt", name=op.f("runs_window_id_attempt_key")),
        schema="learning",
        comment="An attempt to train on a window: a lease with a heartbeat and a fencing token.",
    )
    op.create_index(
        "runs_one_running_per_window_idx",
        "runs",
        ["window_id"],
        unique=True,
        schema="learning",
        postgresql_where=sa.text("state = 'running'"),
    )


def downgrade() -> None:
    """Revert."""
    op.drop_table("runs", schema="learning")
    op.drop_table("windows", schema="learning")
    op.drop_table("streams", schema="learning")
    op.execute(sa.schema.DropSequence(sa.Sequence("fencing_tokens", schema="learning")))
