"""Measure windows and large batches, and mark what is unusual."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations import sql_objects

revision = "0035"
down_revision = "0034"

FIGURE = "log_rate, share_view … of learning.measure_events."
MADE = (
    ("learning_measure_events", "learning.measure_events(text, int8multirange, timestamptz, timestamptz)"),
    ("learning_judge_figures", "learning.judge_figures(jsonb, jsonb, double precision)"),
    ("learning_ordinary", "learning.ordinary(bigint[], boolean[])"),
    ("learning_note_window_figures", "learning.note_window_figures(bigint)"),
    ("ingest_note_batches", "ingest.note_batches(integer, integer)"),
)


def figure_columns() -> list[sa.Column]:
    """Return a figure and how unusual it was."""
    return [
        sa.Column("figure", sa.Text(), nullable=False, comment=FIGURE),
        sa.Column("value", sa.Float(53), nullable=False, comment="What was measured."),
        sa.Column("median", sa.Float(53), comment="Median of what was usual; null with too little past."),
        sa.Column("mad", sa.Float(53), comment="The median distance from that median."),
        sa.Column("z", sa.Float(53), comment="Robust z-score: 0.6745 (value - median) / mad or its floor."),
        sa.Column("suspicious", sa.Boolean(), nullable=False, comment="Whether the score reached suspicion_z."),
    ]


def upgrade() -> None:
    """Add the figures, the policy and what measures."""
    add_policy()
    op.create_table(
        "window_figures",
        sa.Column("window_id", sa.BigInteger(), nullable=False, comment="The window."),
        *figure_columns(),
        sa.ForeignKeyConstraint(["window_id"], ["learning.windows.window_id"], name="window_figures_window_id_fkey"),
        sa.PrimaryKeyConstraint("window_id", "figure", name="window_figures_pkey"),
        schema="learning",
        comment="What each window measured, against the last ordinary windows of its stream.",
    )
    op.create_table(
        "batch_figures",
        sa.Column("stream", sa.Text(), nullable=False, comment="Stream of the batch."),
        sa.Column("lo", sa.BigInteger(), nullable=False, comment="Its smallest event_id, which is its name."),
        sa.Column("n", sa.Integer(), nullable=False, comment="Number of its events."),
        *figure_columns(),
        sa.Column(
            "noted_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When it was measured.",
        ),
        sa.PrimaryKeyConstraint("stream", "lo", "figure", name="batch_figures_pkey"),
        schema="ingest",
        comment="What each large batch measured before it was folded, against earlier ones; for thirty days.",
    )
    op.create_index("batch_figures_noted_at_idx", "batch_figures", ["noted_at"], schema="ingest")
    for name, _ in MADE:
        sql_objects.install("functions", name)
    sql_objects.install("functions", "features_materialise_window", 2)


def add_policy() -> None:
    """Add what a stream does with suspicious windows, and the mark."""
    op.add_column(
        "streams",
        sa.Column(
            "suspicion",
            sa.Text(),
            server_default=sa.text("'tighten'"),
            nullable=False,
            comment="What a suspicious window meets: ignore, tighten (a stricter gate), park (an operator).",
        ),
        schema="learning",
    )
    op.add_column(
        "streams",
        sa.Column(
            "suspicion_z",
            sa.Float(53),
            server_default=sa.text("8"),
            nullable=False,
            comment="A window is suspicious when a figure has a robust z-score of so much.",
        ),
        schema="learning",
    )
    op.create_check_constraint(
        op.f("suspicion_known"), "streams", "suspicion in ('ignore', 'tighten', 'park')", schema="learning"
    )
    op.create_check_constraint(op.f("suspicion_z_positive"), "streams", "suspicion_z > 0", schema="learning")
    op.add_column(
        "windows",
        sa.Column(
            "suspicious",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Whether a figure was far from the usual: learning.window_figures says which.",
        ),
        schema="learning",
    )


def downgrade() -> None:
    """Remove them."""
    op.execute("drop function features.materialise_window(bigint)")
    sql_objects.install("functions", "features_materialise_window")
    for _, signature in reversed(MADE):
        op.execute(f"drop function {signature}")
    op.drop_table("batch_figures", schema="ingest")
    op.drop_table("window_figures", schema="learning")
    op.drop_column("windows", "suspicious", schema="learning")
    op.drop_column("streams", "suspicion_z", schema="learning")
    op.drop_column("streams", "suspicion", schema="learning")
