"""Let the trigger's scan itself say whether the short way is open."""

from __future__ import annotations

from migrations import sql_objects

revision = "0025"
down_revision = "0043"


def upgrade() -> None:
    """Install the fourth version of the trigger's function."""
    sql_objects.install("functions", "ingest_receive_events", 4)


def downgrade() -> None:
    """Put the third one back."""
    sql_objects.install("functions", "ingest_receive_events", 3)
