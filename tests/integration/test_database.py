"""Finding the database: addresses in every form, errors without passwords, and the commands around them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text

from tests.support.processes import TIDEGATE, tidegate
from tidegate import migrate
from tidegate.errors import DatabaseUnavailable, SchemaMissing, SettingsError
from tidegate.postgres import Database, open_database
from tidegate.postgres.database import parse_url, render_url
from tidegate.postgres.variables import feast_variables
from tidegate.settings import read_settings

SAME = {"host": "db", "port": "5433", "user": "me", "password": "p@ss w%rd", "dbname": "shop"}


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:p%40ss%20w%25rd@db:5433/shop",
        "postgres://me:p%40ss%20w%25rd@db:5433/shop",
        "postgresql+psycopg://me:p%40ss%20w%25rd@db:5433/shop",
        "host=db port=5433 user=me password='p@ss w%rd' dbname=shop",
    ],
)
def test_an_address_means_the_same_in_every_form(url: str):
    assert Database(parse_url(url)).parameters == SAME


@pytest.mark.parametrize("url", ["secret", "mysql://me:secret@db/x", "postgresql://me:secret@[db/x"])
def test_what_is_no_address_is_refused_without_repeating_it(url: str):
    with pytest.raises(SettingsError, match="TIDEGATE_DATABASE_URL is not") as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)


def test_a_database_never_shows_its_password():
    database = Database(parse_url("postgresql://me:secret@db:5433/shop"))
    assert str(database) == "shop on db"
    assert "secret" not in repr(database)


def test_no_connection_is_an_error_with_a_next_step():
    database = open_database(read_settings(database_url="postgresql://me:secret@127.0.0.1:1/x"))
    with pytest.raises(DatabaseUnavailable, match="Check TIDEGATE_DATABASE_URL") as caught:
        database.connect()
    assert "secret" not in str(caught.value)


def test_sqlalchemy_reaches_the_same_database(database: Database):
    with create_engine(database.sqlalchemy_url).connect() as connection:
        assert connection.execute(text("select current_database()")).scalar() == database.parameters["dbname"]


@pytest.mark.parametrize(
    "conninfo",
    [
        "host=db port=5433 user=me password='p@ss w%rd' dbname=shop",
        "host=/run/pg,/tmp port=1,2 user=me dbname=shop options='-c search_path=a -c jit=off'",
        "host=::1 user=me dbname='my shop'",
        "host=a,b port=1,2 dbname=shop",
        "dbname=shop",
    ],
)
def test_an_address_survives_as_url_for_libpq_and_for_sqlalchemy(conninfo: str):
    database = Database(parse_url(conninfo))
    url = render_url(database.parameters, "postgresql")
    assert Database(parse_url(url)).parameters == database.parameters
    engine = create_engine(database.sqlalchemy_url)
    arguments = engine.dialect.create_connect_args(engine.url)[1]
    assert {key: str(value) for key, value in arguments.items() if key != "context"} == database.parameters


def test_feast_finds_its_registry_in_a_schema_of_its_own(database: Database):
    url = feast_variables(database)["TIDEGATE_FEAST_REGISTRY_URL"]
    with create_engine(url).connect() as connection:
        assert connection.execute(text("show search_path")).scalar() == "feast"


def test_the_schema_is_required_by_name(empty_database: Database, database: Database):
    migrate.require(database)
    with pytest.raises(SchemaMissing, match="is at revision none; this program needs"):
        migrate.require(empty_database)


def test_migrating_twice_is_migrating_once(empty_database: Database):
    environment = {"TIDEGATE_DATABASE_URL": empty_database.conninfo}
    first = tidegate("migrate", environment=environment)
    second = tidegate("migrate", environment=environment)
    assert (first.returncode, second.returncode) == (0, 0)
    assert second.stdout == first.stdout.replace("\n", ", as before\n")


def test_env_gives_a_shell_what_other_programs_read(database: Database, environment: dict[str, str]):
    shell = f'eval "$({shlex.join(TIDEGATE)} env)" && {program("psql")} -Atc "select current_database()" && env'
    done = subprocess.run(["sh", "-c", shell], env=environment, capture_output=True, text=True)
    first, *rest = done.stdout.splitlines()
    assert first == database.parameters["dbname"], done.stderr
    assert f"TIDEGATE_FEAST_DATABASE={first}" in rest


def test_env_names_feasts_own_stores_to_every_feast_where_they_are_set(environment: dict[str, str]):
    assert "FEAST_FS_YAML_FILE_PATH" not in tidegate("env", environment=environment).stdout
    stock = tidegate("env", environment=environment | {"TIDEGATE_FEAST_STORES": "stock"}).stdout
    (path,) = re.findall(r"^export FEAST_FS_YAML_FILE_PATH=(.*)$", stock, re.MULTILINE)
    assert "type: postgres" in Path(path).read_text()


def test_psql_is_run_with_every_argument(database: Database, environment: dict[str, str]):
    done = tidegate("psql", "-At", "-c", "select 6 * 7", "-h", environment=environment)
    assert done.returncode != 0  # psql's own -h, which misses its value
    done = tidegate("psql", "-At", "-c", "select 6 * 7", environment=environment)
    assert (done.returncode, done.stdout) == (0, "42\n")


def test_an_external_server_is_neither_started_nor_stopped(environment: dict[str, str]):
    for verb in ("start", "stop"):
        done = tidegate("database", verb, environment=environment)
        assert done.returncode == 1
        assert "neither starts nor stops" in done.stderr


def test_the_operator_starts_looks_at_and_stops_the_embedded_server(home: Path):
    environment = os.environ | {"TIDEGATE_HOME": str(home), "TIDEGATE_POSTGRES_PROFILE": "test"}
    assert "running, process" in tidegate("database", "start", environment=environment).stdout
    url = tidegate("database", "url", environment=environment).stdout.strip()
    with psycopg.connect(url) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    status = json.loads(tidegate("database", "status", "--json", environment=environment).stdout)
    assert (status["running"], status["kept"]) == (True, True)
    assert tidegate("database", "stop", environment=environment).stdout == "stopped\n"


def program(name: str) -> str:
    from tidegate.postgres.binaries import find_binaries

    return shutil.which(name) or find_binaries().program(name)
