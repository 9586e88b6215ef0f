"""Databases that cost milliseconds."""

from __future__ import annotations

from psycopg import sql

from tidegate.postgres import Database


def clone(server: Database, name: str, template: str) -> Database:
    """Return a new database, a copy of `template`.

    By copying files: the stock strategy, through the log, took half as long again (0.40 s against 0.27 s).
    """
    _execute(server, "create database {} template {} strategy file_copy", name, template)
    return server.named(name)


def drop(server: Database, database: Database) -> None:
    """Drop a database, whoever is still connected to it."""
    _execute(server, "drop database {} with (force)", database.parameters["dbname"])


def _execute(server: Database, statement: str, *names: str) -> None:
    with server.connect(autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
