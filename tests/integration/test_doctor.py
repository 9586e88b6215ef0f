"""The doctor, on a healthy database and on those that lack something."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.support.learning import deploy_version
from tests.support.processes import tidegate
from tidegate import doctor
from tidegate.doctor import Finding, check_disk, check_weights, examine, sha256
from tidegate.postgres import Database
from tidegate.settings import read_settings


def test_a_healthy_database_has_nothing_to_mend(database: Database):
    findings = examined(database)
    assert {finding.check for finding in findings.values() if finding.state == "fail"} == set()
    for check in ("database", "postgresql", "vector", "schema", "privileges", "broker"):
        assert findings[check].state == "ok", findings[check]


def test_a_database_without_the_schema_says_how_to_make_it(empty_database: Database):
    findings = examined(empty_database)
    assert findings["schema"].state == "fail"
    assert findings["schema"].mend == "tidegate migrate"
    assert findings["broker"].state == "fail"


def test_an_old_schema_is_told_from_the_newest(database: Database, connection: psycopg.Connection):
    connection.execute("update alembic_version set version_num = '0001'")
    assert examined(database)["schema"].says.startswith("revision 0001; this program needs ")


def test_missing_privileges_are_named(database: Database, connection: psycopg.Connection):
    with role_without_rights(connection) as role:
        connection.execute(f"grant select on alembic_version to {role}")
        stranger = Database(psycopg.conninfo.make_conninfo(database.conninfo, user=role))
        finding = examined(stranger)["privileges"]
    assert finding.state == "fail"
    assert "missing: delete on catalogue.items" in finding.says


def test_a_role_that_may_see_nothing_gets_findings_too(database: Database, connection: psycopg.Connection):
    with role_without_rights(connection) as role:
        stranger = Database(psycopg.conninfo.make_conninfo(database.conninfo, user=role))
        assert examined(stranger)["schema"].says == "permission denied for table alembic_version"


def test_an_external_broker_that_does_not_listen_fails(database: Database):
    finding = examined(database, broker_url="amqp://me:secret@127.0.0.1:1//")["broker"]
    assert finding.state == "fail"
    assert "secret" not in finding.says


def test_an_external_broker_that_listens_is_well(database: Database):
    with socket.create_server(("127.0.0.1", 0)) as broker:
        url = f"redis://127.0.0.1:{broker.getsockname()[1]}/0"
        assert examined(database, broker_url=url)["broker"].state == "ok"


def test_a_lost_queue_fails(database: Database, connection: psycopg.Connection):
    connection.execute("select pgmq.drop_queue('gpu')")
    assert examined(database)["broker"].says == "queues missing: gpu"


def test_without_a_connection_the_machine_is_still_looked_at():
    findings = {finding.check: finding for finding in examine(read_settings(database_url="host=127.0.0.1 port=1"))}
    assert findings["database"].state == "fail"
    assert findings["python"].state == "ok"


def test_weights_that_were_changed_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "model.safetensors").write_bytes(b"not the weights")
    monkeypatch.setattr(doctor, "_packaged_model", lambda: tmp_path)
    finding = check_weights(None)
    assert finding.state == "fail"
    assert sha256(tmp_path / "model.safetensors")[:12] in finding.says


def test_weights_of_one_s_own_only_have_to_be_there(tmp_path: Path):
    assert check_weights(tmp_path).state == "fail"
    (tmp_path / "model.safetensors").write_bytes(b"mine")
    assert check_weights(tmp_path).state == "ok"


@pytest.mark.parametrize(("free", "state"), [(100, "fail"), (1000, "warn"), (10_000, "ok")])
def test_little_space_is_warned_of_and_none_fails(monkeypatch: pytest.MonkeyPatch, free: int, state: str):
    usage = doctor.shutil.disk_usage("/")._replace(free=free * 2**20)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    assert check_disk(Path("/nowhere/yet")).state == state


def test_the_command_prints_a_line_for_each_check_and_succeeds(environment: dict[str, str]):
    done = tidegate("doctor", environment=environment)
    assert done.returncode == 0, done.stdout
    assert "ok    schema      revision" in done.stdout


def test_the_command_prints_json_and_fails_where_something_fails(empty_database: Database):
    done = tidegate("doctor", "--json", environment={"TIDEGATE_DATABASE_URL": empty_database.conninfo, "PATH": ""})
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert told["healthy"] is False
    assert {finding["check"] for finding in told["findings"]} > {"python", "disk", "schema"}


def test_the_doctor_imports_nothing_that_may_be_broken(environment: dict[str, str]):
    code = "import sys, tidegate.doctor as d, tidegate.settings as s; list(d.examine(s.get_settings())); "
    code += "print([name for name in ('torch', 'celery', 'feast', 'kombu') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def examined(database: Database, **settings: object) -> dict[str, Finding]:
    """Return the findings on one database by the name of the check."""
    return {finding.check: finding for finding in examine(read_settings(database_url=database.conninfo, **settings))}


@contextmanager
def role_without_rights(connection: psycopg.Connection) -> Iterator[str]:
    connection.execute("create role stranger login")
    try:
        yield "stranger"
    finally:
        connection.execute("drop owned by stranger; drop role stranger")


def test_a_live_version_whose_feature_service_is_gone_fails(database: Database, connection: psycopg.Connection):
    assert examined(database)["services"].state == "warn", "definitions are not applied"
    connection.execute("create schema if not exists feast")
    connection.execute("create table feast.feature_services (feature_service_name text, project_id text)")
    connection.execute("insert into feast.feature_services values ('sequential_recommender@v1', 'somebody else''s')")
    assert examined(database)["services"].state == "warn", "nor is what somebody else applied ours"
    connection.execute("insert into feast.feature_services values ('ranker@v1', 'tidegate')")
    version = deploy_version(connection, {"tea": [1, 0]})
    finding = examined(database)["services"]
    assert finding.state == "fail"
    assert finding.says.endswith(f"sequential_recommender@v1, which live versions were trained on: {version}")
    assert "feature_repo/services.py" in finding.mend
    connection.execute("insert into feast.feature_services values ('sequential_recommender@v1', 'tidegate')")
    assert examined(database)["services"].state == "ok"
