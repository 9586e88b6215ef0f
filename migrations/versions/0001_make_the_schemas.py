"""Make the schemas and the vector extension."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

COMMENTS = {
    "ingest": "Behaviour events, what was wrong with some of them, and the ledger of what no window owns yet.",
    "catalogue": "Users and items.",
    "features": "Live features and their history.",
    "learning": "Streams, windows, runs, versions, weights and evaluations.",
    "serving": "Which version is live, its vectors, and what was shown to whom.",
    "celery": "Results of tasks, kept by Celery.",
    "feast": "Registry and online store of Feast.",
}


def upgrade() -> None:
    """Make them; `public` holds the extension, as everywhere."""
    op.execute("create extension if not exists vector with schema public")
    for schema, comment in COMMENTS.items():
        op.execute(f"create schema {schema}")
        op.execute(f"comment on schema {schema} is '{comment}'")


def downgrade() -> None:
    """Drop them, Celery's and Feast's with what those made there; the extension may serve others and stays."""
    op.execute("drop schema feast cascade")
    op.execute("drop schema celery cascade")
    for schema in reversed([name for name in COMMENTS if name not in ("celery", "feast")]):
        op.execute(f"drop schema {schema}")
