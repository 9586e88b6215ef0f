"""Install the queue: PGMQ as plain SQL, its three queues, and what Celery's transport misses."""

from __future__ import annotations

from importlib.resources import files

import sqlalchemy as sa
from alembic import op

from migrations import sql_objects

revision = "0002"
down_revision = "0001"

QUEUES = ("features", "gpu", "housekeeping")


def upgrade() -> None:
    """Install PGMQ unless an extension has brought it, then make the queues, so that triggers can send at once."""
    sql_objects.run("set local check_function_bodies = off")
    if not installed():
        sql_objects.run_script(files("pgmq").joinpath("sql", "pgmq.sql").read_text(encoding="utf-8"))
    sql_objects.install("functions", "pgmq_send_topic")
    sql_objects.install("functions", "pgmq_notify_queue_listeners")
    for queue in QUEUES:
        op.execute(f"select pgmq.create('{queue}')")
        op.execute(f"select pgmq.enable_notify_insert('{queue}', 0)")
    op.create_table(
        "queue_bindings",
        sa.Column("exchange", sa.Text(), nullable=False, comment="Direct exchange."),
        sa.Column("routing_key", sa.Text(), nullable=False, comment="Routing key."),
        sa.Column("pattern", sa.Text(), nullable=False, comment="Pattern, as the transport keeps it."),
        sa.Column("queue", sa.Text(), nullable=False, comment="Queue that is bound."),
        sa.PrimaryKeyConstraint("exchange", "routing_key", "pattern", "queue", name=op.f("queue_bindings_pkey")),
        schema="learning",
        comment="Direct bindings of the PostgreSQL broker: without them Celery loses replies.",
    )


def downgrade() -> None:
    """Drop the queues and, unless it is an extension, PGMQ with them."""
    op.drop_table("queue_bindings", schema="learning")
    if op.get_context().as_sql or not is_extension():
        op.execute("drop schema pgmq cascade")
        return
    for queue in QUEUES:
        op.execute(f"select pgmq.drop_queue('{queue}')")
    op.execute("drop function pgmq.send_topic(text, jsonb, jsonb)")


def installed() -> bool:
    """Tell whether the schema is there already; when only printing SQL, it is not."""
    return not op.get_context().as_sql and bool(
        op.get_bind().scalar(sa.text("select to_regclass('pgmq.meta') is not null"))
    )


def is_extension() -> bool:
    """Tell whether PGMQ came as an extension, which is not ours to drop."""
    return bool(op.get_bind().scalar(sa.text("select exists (select from pg_extension where extname = 'pgmq')")))
