"""Make the default stream and the first partitions."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Give events that name no stream a stream, and events of this week their partitions."""
    op.execute("insert into learning.streams (stream) values ('default') on conflict do nothing")
    op.execute("select ingest.make_partitions(7)")


def downgrade() -> None:
    """Leave the rows to the revisions that drop their tables: other rows may refer to them."""
