"""Say where a run is, give runs back, count materialisations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations import sql_objects

revision = "0024"
down_revision = "0023"

STATES = "state in ('running', 'succeeded', 'failed', 'expired'{})"
STEPS = "step in ('claimed', 'read', 'score', 'fit', 'judge', 'export', 'publish')"

NEW_FUNCTIONS = {
    "error_line": "text",
    "lease_ends": "timestamptz, timestamptz",
    "expire_runs": "bigint",
    "park_window": "bigint, text, text",
    "park_exhausted": "bigint",
    "fail_run": "bigint, text",
    "release_run": "bigint, text",
    "begin_materialisation": "bigint",
    "fail_materialisation": "bigint, text",
    "free_leases": "",
    "park_failing": "",
    "repeat_nudges": "interval",
}
# Version before and now, and arguments before and now.
CHANGED_FUNCTIONS = {
    "claim_window": (1, 2, "text, text, interval", "text, text, interval"),
    "sweep": (2, 3, "integer, interval", "interval"),
}


def change_states(states: str) -> None:
    """Replace the states that a run may have."""
    op.drop_constraint("run_state_known", "runs", schema="learning", type_="check")
    op.create_check_constraint("run_state_known", "runs", states, schema="learning")


def upgrade() -> None:
    """Add them."""
    op.add_column(
        "runs",
        sa.Column(
            "step",
            sa.Text(),
            server_default=sa.text("'claimed'"),
            nullable=False,
            comment="Where it is, or ended: claimed, read, score, fit, judge, export, publish.",
        ),
        schema="learning",
    )
    op.create_check_constraint("run_step_known", "runs", STEPS, schema="learning")
    change_states(STATES.format(", 'released'"))
    for column in (
        sa.Column("traceback", sa.Text(), nullable=True, comment="The last error in full."),
        sa.Column(
            "materialisations",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Attempts to materialise it, each counted before it starts.",
        ),
        sa.Column(
            "online_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When its values had been handed to Feast's online store.",
        ),
    ):
        op.add_column("windows", column, schema="learning")
    op.execute("update learning.windows set online_at = ready_at")
    op.create_index(
        "windows_not_online_idx",
        "windows",
        ["window_id"],
        schema="learning",
        postgresql_where=sa.text("state = 'trained' and online_at is null"),
    )
    op.alter_column(
        "runs",
        "state",
        comment="running, succeeded, failed, expired, released.",
        existing_comment="running, succeeded, failed, expired.",
        schema="learning",
    )
    for name in NEW_FUNCTIONS:
        sql_objects.install("functions", f"learning_{name}")
    for name, (_, now, arguments, _) in CHANGED_FUNCTIONS.items():
        op.execute(f"drop function learning.{name}({arguments})")
        sql_objects.install("functions", f"learning_{name}", now)


def downgrade() -> None:
    """Take them away; a run that was given back counts as one that expired."""
    for name, (before, _, _, arguments) in CHANGED_FUNCTIONS.items():
        op.execute(f"drop function learning.{name}({arguments})")
        sql_objects.install("functions", f"learning_{name}", before)
    for name in reversed(NEW_FUNCTIONS):
        op.execute(f"drop function learning.{name}({NEW_FUNCTIONS[name]})")
    op.drop_index("windows_not_online_idx", "windows", schema="learning")
    for column in ("online_at", "materialisations", "traceback"):
        op.drop_column("windows", column, schema="learning")
    op.alter_column("runs", "state", comment="running, succeeded, failed, expired.", schema="learning")
    op.execute("update learning.runs set state = 'expired' where state = 'released'")
    change_states(STATES.format(""))
    op.drop_constraint("run_step_known", "runs", schema="learning", type_="check")
    op.drop_column("runs", "step", schema="learning")
