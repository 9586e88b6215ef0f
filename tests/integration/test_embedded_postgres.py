"""The embedded server with real processes: shared, killed, restarted, in awkward places."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.support.processes import Speaker, python
from tests.support.waiting import wait_until
from tidegate.errors import DatabaseError, DatabaseUnavailable
from tidegate.postgres import Database, EmbeddedServer, open_database
from tidegate.postgres import folder as folders
from tidegate.postgres.binaries import Binaries, find_binaries
from tidegate.postgres.profiles import PRODUCTION, TEST
from tidegate.settings import read_settings

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

# Another process that holds the server until its input ends.
HOLDER = """
    import sys
    from pathlib import Path
    from tidegate.postgres import EmbeddedServer
    from tidegate.postgres.profiles import TEST
    server = EmbeddedServer(Path({home!r}), TEST)
    print(server.join())
    sys.stdin.read()
"""

# Becomes a plain user after the imports: the interpreter itself may lie in root's private home.
AS_NOBODY = """
import os, pwd
import tidegate.postgres
nobody = pwd.getpwnam("nobody")
os.chdir("/")
os.setgroups([])
os.setgid(nobody.pw_gid)
os.setuid(nobody.pw_uid)
"""


@pytest.fixture
def embedded(home: Path) -> Iterator[EmbeddedServer]:
    """A server of the test's own, not started."""
    server = EmbeddedServer(home, TEST)
    yield server
    server.leave()


@pytest.fixture
def holder(home: Path) -> Iterator[Speaker]:
    """Another process that has joined the server in `home`."""
    with python(HOLDER.format(home=str(home))) as speaker:
        speaker.hear()
        yield speaker


# --- sharing --------------------------------------------------------------------------------------


def test_the_first_holder_makes_the_cluster_and_its_database(bare_home: Path):
    server = EmbeddedServer(bare_home, TEST)
    with psycopg.connect(server.join()) as connection:
        names = connection.execute("select current_database(), current_user").fetchone()
    assert names == ("tidegate", "postgres")
    server.leave()


def test_two_processes_share_one_server(embedded: EmbeddedServer, holder: Speaker):
    before = embedded.status()
    embedded.join()
    after = embedded.status()
    assert before.pid == after.pid
    assert {found.pid for found in after.holders} == {holder.process.pid, os.getpid()}


def test_the_last_holder_stops_the_server(embedded: EmbeddedServer, holder: Speaker):
    embedded.join()
    assert holder.end() == 0
    assert embedded.status().running
    embedded.leave()
    assert not embedded.status().running


def test_five_processes_that_start_at_once_share_one_server(home: Path, embedded: EmbeddedServer):
    starts = [subprocess.Popen(holding(home), stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(5)]
    try:
        assert len({start.stdout.readline() for start in starts if start.stdout}) == 1
        assert len(embedded.status().holders) == 5
    finally:
        for start in starts:
            start.communicate()
    assert not embedded.status().running


def test_two_threads_of_one_process_hold_it_separately(home: Path):
    first, second = EmbeddedServer(home, TEST), EmbeddedServer(home, TEST)
    in_a_thread(first.join)
    in_a_thread(second.join)
    in_a_thread(first.leave)
    assert second.status().running
    second.leave()
    assert not second.status().running


def test_leaving_twice_is_leaving_once(embedded: EmbeddedServer, holder: Speaker):
    embedded.join()
    embedded.leave()
    embedded.leave()
    assert embedded.status().running
    assert holder.end() == 0


def test_a_forked_child_does_not_give_its_parents_lease_back(embedded: EmbeddedServer):
    embedded.join()
    child = os.fork()
    if child == 0:
        embedded.leave()
        os._exit(0)
    os.waitpid(child, 0)
    assert embedded.status().running
    assert len(embedded.status().holders) == 1


# --- crashes --------------------------------------------------------------------------------------


def test_a_killed_holder_leaves_the_server_to_the_others(embedded: EmbeddedServer, holder: Speaker):
    conninfo = embedded.join()
    holder.kill()
    with psycopg.connect(conninfo) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    embedded.leave()
    assert not embedded.status().running


def test_the_next_to_leave_stops_what_a_killed_holder_left_running(embedded: EmbeddedServer, holder: Speaker):
    left = embedded.status().pid
    holder.kill()
    assert embedded.status().running
    embedded.join()
    assert embedded.status().pid == left
    embedded.leave()
    assert not embedded.status().running


def test_committed_rows_survive_a_killed_server(home: Path):
    server = EmbeddedServer(home, PRODUCTION)
    with psycopg.connect(server.join()) as connection:
        connection.execute("create table kept as select 7 as number")
    kill_server(server)
    with psycopg.connect(server.join()) as connection:
        assert connection.execute("select number from kept").fetchone() == (7,)
    server.leave()


def test_a_lock_file_with_a_reused_process_id_does_not_stop_a_start(embedded: EmbeddedServer):
    embedded.join()
    kill_server(embedded)
    lock = embedded.status().data / "postmaster.pid"
    lines = lock.read_text().splitlines()
    with innocent_process(lock) as innocent:
        lock.write_text("\n".join([str(innocent.pid), *lines[1:]]) + "\n")
        embedded.join()
        assert embedded.status().running
        assert innocent.poll() is None


def test_an_initdb_that_was_cut_short_is_done_again(bare_home: Path):
    half = bare_home / "postgres" / "data.initialising"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server = EmbeddedServer(bare_home, TEST)
    server.join()
    assert server.status().running
    assert not half.exists()
    server.leave()


# --- places ---------------------------------------------------------------------------------------


def test_a_path_too_long_for_a_socket_has_its_socket_below_tmp(home: Path):
    with moved(home, "long" * 25) as server:
        with psycopg.connect(server.join()) as connection:
            socket = connection.info.host
        assert socket.startswith("/tmp/tidegate-")
    assert not Path(socket).exists()


@pytest.mark.parametrize("name", ["with space", "it's, quoted", 'dollar $HOME "x"', "ünïcode 潮"])
def test_an_awkward_path_is_no_trouble(home: Path, name: str):
    with moved(home, name) as server, psycopg.connect(server.join()) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


@needs_root
def test_root_runs_the_server_as_somebody_else(embedded: EmbeddedServer):
    embedded.join()
    owner = Path(f"/proc/{embedded.status().pid}").stat().st_uid
    assert pwd.getpwuid(owner).pw_name in ("postgres", "nobody")


@needs_root
def test_a_private_home_of_root_keeps_its_data_below_var_lib(bare_home: Path):
    private = bare_home / "private"
    private.mkdir(mode=0o700)
    server = EmbeddedServer(private / ".tidegate", TEST)
    place = None
    try:
        with psycopg.connect(server.join()) as connection:
            place = (private / ".tidegate" / "postgres").resolve()
            assert place.parent == folders.SHELTER
            assert connection.execute("select 1").fetchone() == (1,)
        server.leave()
        server.join()  # finds the same place again
        assert server.status().data == place / "data"
    finally:
        server.leave()
        if place is not None:
            shutil.rmtree(place)


@needs_root
def test_binaries_that_the_server_s_user_cannot_read_are_copied(home: Path, monkeypatch: pytest.MonkeyPatch):
    private = home / "private"
    private.mkdir(mode=0o700)
    shutil.copytree(find_binaries().folder, private / "pginstall", symlinks=True)
    closed = Binaries(private / "pginstall", find_binaries().version)
    copy = home / "postgres" / f"binaries-{closed.version}"
    with monkeypatch.context() as patch:
        patch.setattr("tidegate.postgres.embedded.find_binaries", lambda: closed)
        server = EmbeddedServer(home, TEST)
        server.join()
        assert Path(f"/proc/{server.status().pid}/exe").resolve() == copy / "bin" / "postgres"
        server.leave()
    shutil.rmtree(copy)
    shutil.rmtree(private)


@needs_root
def test_a_plain_user_runs_the_server_as_themselves(bare_home: Path):
    nobody = pwd.getpwnam("nobody")
    os.chown(bare_home, nobody.pw_uid, nobody.pw_gid)
    with python(AS_NOBODY + textwrap.dedent(HOLDER.format(home=str(bare_home)))) as speaker:
        speaker.hear()
        status = EmbeddedServer(bare_home, TEST).status()
        assert Path(f"/proc/{status.pid}").stat().st_uid == nobody.pw_uid
        assert speaker.end() == 0
    assert not EmbeddedServer(bare_home, TEST).status().running


# --- settings -------------------------------------------------------------------------------------


def test_settings_reach_the_server(home: Path):
    settings = read_settings(
        home=home,
        postgres_profile="test",
        postgres_settings={"work_mem": "33MB", "log_line_prefix": "it's %m "},
    )
    with open_database(settings) as database, database.connect() as connection:
        names = ("work_mem", "fsync", "jit", "log_line_prefix", "listen_addresses")
        values = [connection.execute("select current_setting(%s)", [name]).fetchone() for name in names]
    assert values == [("33MB",), ("off",), ("off",), ("it's %m ",), ("",)]


def test_text_sorts_the_same_on_every_machine(embedded: EmbeddedServer):
    with psycopg.connect(embedded.join()) as connection:
        query = "select datlocprovider::text, datlocale from pg_database where datname = 'tidegate'"
        assert connection.execute(query).fetchone() == ("b", "C.UTF-8")


def test_the_developer_s_own_pg_variables_change_nothing(embedded: EmbeddedServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGHOST", "elsewhere")
    monkeypatch.setenv("PGDATA", "/nowhere")
    with psycopg.connect(embedded.join()) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_the_same_server_as_somebody_s_external_one(embedded: EmbeddedServer):
    url = Database(embedded.join()).sqlalchemy_url
    with open_database(read_settings(database_url=url)) as database, database.connect() as connection:
        assert not database.embedded
        assert connection.execute("select current_database()").fetchone() == ("tidegate",)
    assert embedded.status().running


# --- the operator ---------------------------------------------------------------------------------


def test_a_kept_server_stays_until_it_is_stopped(embedded: EmbeddedServer):
    assert embedded.keep().running
    embedded.join()
    embedded.leave()
    assert embedded.status().running
    assert embedded.stop()
    assert not embedded.status().running
    assert not embedded.stop()


def test_a_server_in_use_is_stopped_by_force_only(embedded: EmbeddedServer, holder: Speaker):
    with pytest.raises(DatabaseError, match=rf"in use by .*process {holder.process.pid}"):
        embedded.stop()
    assert embedded.stop(force=True)
    assert not embedded.status().running


def test_asking_for_the_status_makes_no_folder(tmp_path: Path):
    assert not EmbeddedServer(tmp_path / "none").status().running
    assert not (tmp_path / "none").exists()


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_wrong_setting_is_named_and_nothing_stays_behind(home: Path):
    server = EmbeddedServer(home, {**TEST, "shared_bufers": "1GB"})
    with pytest.raises(DatabaseUnavailable, match='unrecognized configuration parameter "shared_bufers"'):
        server.join()
    assert server.status().holders == []
    corrected = EmbeddedServer(home, TEST)
    corrected.join()
    corrected.leave()


def test_data_of_another_version_is_refused_and_left_alone(embedded: EmbeddedServer):
    embedded.join()
    embedded.leave()
    version = embedded.status().data / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(DatabaseUnavailable, match=r"is of PostgreSQL 17; this is 18\. Dump it"):
        embedded.join()
    version.write_text("18\n")


def test_a_home_that_is_a_file_is_refused(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseUnavailable, match="cannot be written"):
        EmbeddedServer(tmp_path / "file" / "home", TEST).join()


@needs_root
def test_a_full_disk_is_named(bare_home: Path):
    disk = bare_home / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine allows no mount")
    try:
        with pytest.raises(DatabaseUnavailable, match=r"The disk of .* is full\. Free some space"):
            EmbeddedServer(disk, TEST).join()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def kill_server(server: EmbeddedServer) -> None:
    """Kill the postmaster as the kernel's memory killer would, and wait until nobody answers."""
    pid = server.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not server.status().running)


@contextmanager
def moved(home: Path, name: str) -> Iterator[EmbeddedServer]:
    """Move a stopped server's files one folder down, and back."""
    (home / name).mkdir()
    (home / "postgres").rename(home / name / "postgres")
    server = EmbeddedServer(home / name, TEST)
    try:
        yield server
    finally:
        server.leave()
        (home / name / "postgres").rename(home / "postgres")
        shutil.rmtree(home / name)


def in_a_thread(action: object) -> None:
    thread = threading.Thread(target=action)
    thread.start()
    thread.join()


def holding(home: Path) -> list[str]:
    return [sys.executable, "-u", "-c", textwrap.dedent(HOLDER.format(home=str(home)))]


@contextmanager
def innocent_process(file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that has nothing to do with the server but belongs to whoever owns `file`."""
    owner = file.stat()
    become = {"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, cwd="/", **become) as process:
        yield process
