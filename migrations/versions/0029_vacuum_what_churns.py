"""Vacuum what churns before it grows."""

from __future__ import annotations

from alembic import op

revision = "0029"
down_revision = "0028"

# What is updated or emptied all the time must not wait until a fifth of it is dead, the stock rule; and what is small
# and hot is cleaned at once, without pauses.
QUEUES = ("pgmq.q_features", "pgmq.q_gpu", "pgmq.q_housekeeping")
SETTINGS: dict[str, dict[str, str]] = {
    # Ledger rows are written once and deleted once. The sum over the ledger reads past the dead ones.
    "ingest.batches": {"autovacuum_vacuum_cost_delay": "0"},
    "features.unfolded_batches": {"autovacuum_vacuum_cost_delay": "0"},
    # A message is written, hidden by an update of its indexed time (so no fillfactor helps), and deleted.
    **{queue: {"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "500"} for queue in QUEUES},
    # Heartbeats touch no indexed column: with room on the page they cost no index entry.
    "learning.runs": {"fillfactor": "70", "autovacuum_vacuum_scale_factor": "0.05"},
    "learning.windows": {"fillfactor": "90", "autovacuum_vacuum_scale_factor": "0.05"},
}


def upgrade() -> None:
    """Set them."""
    for table, settings in SETTINGS.items():
        op.execute(f"alter table {table} set ({', '.join(f'{k} = {v}' for k, v in settings.items())})")


def downgrade() -> None:
    """Reset them."""
    for table, settings in SETTINGS.items():
        op.execute(f"alter table {table} reset ({', '.join(settings)})")
