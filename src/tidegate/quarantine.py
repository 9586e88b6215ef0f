"""Quarantine: events that broke a rule, why, and how they go in after all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tidegate.errors import BadRequest
from tidegate.queries import queries

CHUNK = 10_000  # rows of one transaction: one statement, one ledger row


@dataclass
class Redrive:
    """What became, or would become, of quarantined events that were sent again."""

    passed: int = 0
    repeats: int = 0  # their client key has been seen since
    refused: dict[str, int] = field(default_factory=dict)  # by the rule that they break now

    def add(self, outcome: str, reason: str | None, events: int) -> None:
        """Count some more."""
        if outcome == "passed":
            self.passed += events
        elif outcome == "repeat":
            self.repeats += events
        else:
            self.refused[str(reason)] = self.refused.get(str(reason), 0) + events


def explain(connection: psycopg.Connection[Any], quarantine_id: int) -> dict[str, Any]:
    """Return a quarantined event with every rule that it breaks now. Raises BadRequest."""
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(queries["show_quarantined"], {"id": quarantine_id}).fetchone()
        if found is None:
            raise BadRequest(
                f"Nothing in quarantine has the id {quarantine_id}.", "List what there is: `tidegate quarantine list`."
            )
        broken = cursor.execute(queries["explain_quarantined"], {"id": quarantine_id}).fetchall()
    return found | {"broken": broken}


def find(connection: psycopg.Connection[Any], ids: Sequence[int] | None, reason: str | None) -> list[int]:
    """Return what is in quarantine, by id, by a part of its reason, or all."""
    values = {"ids": list(ids) if ids else None, "reason": reason}
    return [quarantine_id for (quarantine_id,) in connection.execute(queries["find_quarantined"], values)]


def redrive(connection: psycopg.Connection[Any], ids: Sequence[int], *, rehearse: bool = False) -> Redrive:
    """Send quarantined events through the rules again, chunk by chunk, each chunk a transaction.

    A rehearsal does the same and rolls it back. `connection` must be in autocommit mode.
    """
    done = Redrive()
    for start in range(0, len(ids), CHUNK):
        with connection.transaction(force_rollback=rehearse):
            rows = connection.execute(queries["redrive"], {"ids": list(ids[start : start + CHUNK])}).fetchall()
        for outcome, reason, events in rows:
            done.add(outcome, reason, events)
    return done
