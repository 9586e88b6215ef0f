"""The schema's history: every step goes up, down and up again, and the newest files are what the database runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, pool

from tidegate.migrate import scripts_folder
from tidegate.postgres import Database

SQL = scripts_folder() / "sql"
FROZEN = SQL / "released.sha256"

# Everything that a migration can leave behind: relations with their columns, functions, triggers, types,
# comments.
CATALOGUE = """
select 'column', n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
 where n.nspname = any (%(schemas)s)
union all
select 'constraint', n.nspname, c.conname, pg_get_constraintdef(c.oid), ''
  from pg_constraint c join pg_namespace n on n.oid = c.connamespace
 where n.nspname = any (%(schemas)s) and c.conrelid::regclass::text !~ 'events_[0-9]{8}'
union all select 'function', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid),
md5(coalesce(p.prosrc, ''))
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = any (%(schemas)s)
union all
select 'trigger', '', t.tgname, t.tgrelid::regclass::text, t.tgenabled::text
  from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
 where not t.tgisinternal and n.nspname = any (%(schemas)s)
union all
select 'schema', nspname, '', '', '' from pg_namespace where nspname = any (%(schemas)s)
order by 1, 2, 3, 4, 5
"""
SCHEMAS = ["ingest", "catalogue", "features", "learning", "serving", "celery", "feast", "pgmq"]


@pytest.fixture
def config(empty_database: Database) -> Iterator[Config]:
    """Alembic on an empty database."""
    engine = create_engine(empty_database.sqlalchemy_url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        made = Config()
        made.set_main_option("script_location", str(scripts_folder()))
        made.attributes["connection"] = connection
        yield made


def revisions() -> list[str]:
    """Return the revisions, oldest first."""
    scripts = ScriptDirectory(str(scripts_folder()))
    return [script.revision for script in reversed(list(scripts.walk_revisions()))]


def catalogue(database: Database) -> list[tuple[str, ...]]:
    """Return all that the schemas hold; partitions are named after days and left out."""
    with database.connect() as connection:
        rows = connection.execute(CATALOGUE, {"schemas": SCHEMAS}).fetchall()
    return [row for row in rows if not re.search(r"events_\d{8}", " ".join(row))]


def test_every_downgrade_restores_the_catalogue_and_goes_up_again(config: Config, empty_database: Database) -> None:
    before = catalogue(empty_database)
    for revision in revisions():
        command.upgrade(config, revision)
        after = catalogue(empty_database)
        command.downgrade(config, "-1")
        assert catalogue(empty_database) == before, f"the downgrade of {revision} does not restore the catalogue"
        command.upgrade(config, revision)
        assert catalogue(empty_database) == after, f"{revision} goes up differently the second time"
        before = after


def test_the_tables_in_python_are_the_tables_in_the_database(config: Config) -> None:
    command.upgrade(config, "head")
    command.check(config)


def test_upgrading_twice_changes_nothing(config: Config, empty_database: Database) -> None:
    command.upgrade(config, "head")
    once = catalogue(empty_database)
    command.upgrade(config, "head")
    assert catalogue(empty_database) == once


def test_the_whole_history_can_be_printed_as_sql(capsys: pytest.CaptureFixture[str]) -> None:
    made = Config()
    made.set_main_option("script_location", str(scripts_folder()))
    command.upgrade(made, "head", sql=True)
    printed = capsys.readouterr().out
    assert "create function ingest.receive_events()" in printed
    assert r"\:" not in printed


def test_the_newest_file_is_the_live_function(connection: psycopg.Connection) -> None:
    live = {
        f"{schema}_{name}": source
        for schema, name, source in connection.execute(
            "select n.nspname, p.proname, p.prosrc from pg_proc p join pg_namespace n on n.oid = p.pronamespace "
            "where n.nspname = any (%s) and p.prokind = 'f'",
            (SCHEMAS[:5],),
        )
    }
    newest: dict[str, Path] = {}
    for file in sorted((SQL / "functions").glob("*.sql")):
        newest[re.sub(r"_v\d+$", "", file.stem)] = file
    ours = {name: file for name, file in newest.items() if name in live}
    assert set(live) == set(ours), "a function in the database has no file, or a file is not installed"
    for name, file in ours.items():
        assert live[name].strip() in file.read_text(), f"{file.name} is not what the database runs"


def test_every_table_and_column_says_what_it_is(connection: psycopg.Connection) -> None:
    silent = connection.execute(
        "select c.oid::regclass::text, a.attname from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "join pg_attribute a on a.attrelid = c.oid and a.attnum >= 0 and not a.attisdropped "
        "where n.nspname = any (%s) and c.relkind in ('r', 'p') and not c.relispartition "
        "and col_description(c.oid, a.attnum) is null",
        (SCHEMAS[:5],),
    ).fetchall()
    assert silent == []


def test_a_released_sql_file_is_never_edited() -> None:
    released = dict(reversed(line.split("  ")) for line in FROZEN.read_text().splitlines())
    found = {str(f.relative_to(SQL)): sha256(f.read_bytes()).hexdigest() for f in SQL.rglob("*.sql")}
    changed = [name for name, digest in released.items() if found.get(name) != digest]
    assert changed == [], "copy a released file to its next version instead of editing it"
