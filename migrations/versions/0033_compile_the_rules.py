"""Compile the rules into functions whenever they change, and make the default rule."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0033"
down_revision = "0032"

FLAW = "ingest.flaw(text, text, text, text, double precision, timestamptz, jsonb)"
EVENT = "text, text, text, text, double precision, timestamptz, jsonb, text"
COMPILED = ("broken_rule", "warned_rules", "expression_rule", "looking_rules", "memory_horizon")
GENERATORS = (
    "reads_as",
    "rule_filter",
    "rule_breach",
    "rule_reason",
    "rule_query",
    "check_expression",
    "replace_function",
    "replace_expression_rule",
    "compile_rules",
)
DEFAULT = "insert into ingest.rules (name, kind, seconds) values ('occurred_at lies in the future', 'future', 300)"


def upgrade() -> None:
    """Install their functions in the form of the default rule, which the row then confirms."""
    for function in (*COMPILED, *GENERATORS):
        sql_objects.install("functions", f"ingest_{function}")
    sql_objects.install("triggers", "ingest_compile_rules")
    op.execute(DEFAULT)


def downgrade() -> None:
    """Drop them."""
    op.execute("drop trigger compile_rules on ingest.rules")
    op.execute("drop function ingest.compile_rules()")
    op.execute("drop function ingest.replace_expression_rule(text)")
    op.execute("drop function ingest.replace_function(text, text, text, text, text)")
    op.execute("drop function ingest.check_expression(ingest.rules)")
    op.execute("drop function ingest.rule_query(ingest.rules, text)")
    for function in ("rule_reason", "rule_breach", "rule_filter"):
        op.execute(f"drop function ingest.{function}(ingest.rules)")
    op.execute("drop function ingest.reads_as(text, text)")
    op.execute("drop function ingest.memory_horizon()")
    op.execute("drop function ingest.looking_rules()")
    op.execute(f"drop function ingest.expression_rule(integer, {EVENT})")
    op.execute(f"drop function ingest.warned_rules({EVENT})")
    op.execute(f"drop function ingest.broken_rule({EVENT})")
    op.execute("delete from ingest.rules")
