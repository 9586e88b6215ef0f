from __future__ import annotations

import resource
import signal
import subprocess
import sys
from importlib.metadata import version

import pytest

from tests.support.processes import TIDEGATE, python, tidegate
from tidegate.cli import COMMANDS, load

START_SECONDS = 0.5
HEAVY = {"torch", "feast", "celery", "transformers", "psycopg", "sqlalchemy", "pydantic", "rich", "numpy"}


def test_help_costs_less_than_half_a_second_of_cpu():
    assert min(cpu_seconds(*TIDEGATE, "--help") for _ in range(3)) < START_SECONDS


def test_help_imports_nothing_heavy():
    code = "import sys, tidegate.cli; print(' '.join(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert HEAVY & {name.partition(".")[0] for name in done.stdout.split()} == set()


def test_help_lists_every_command_with_its_line():
    printed = tidegate("--help").stdout
    assert [name for name, entry in COMMANDS.items() if f"  {name} " not in printed or not entry.help] == []


def test_version_is_the_package_s():
    assert tidegate("--version").stdout == f"tidegate {version('tidegate')}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_exists(name: str):
    assert load(name).name == name


def test_an_unknown_command_is_a_mistake_of_usage():
    done = tidegate("recommand")
    assert done.returncode == 2
    assert "No such command 'recommand'" in done.stderr


def test_an_error_is_one_line_without_a_traceback():
    done = tidegate("migrate", environment={"TIDEGATE_DATABASE_URL": "host=127.0.0.1 port=1 password=secret"})
    assert done.returncode == 1
    assert done.stderr.startswith("tidegate: No connection to")
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


def test_debug_shows_the_traceback():
    environment = {"TIDEGATE_DATABASE_URL": "host=127.0.0.1 port=1 password=secret"}
    done = tidegate("--debug", "migrate", environment=environment)
    assert "Traceback" in done.stderr
    assert "secret" not in done.stderr


def test_ctrl_c_ends_a_command_with_130_and_no_traceback():
    code = """
        import sys, time, types
        from tidegate import cli
        def wait():
            print("waiting")
            time.sleep(60)
        sys.modules["tidegate.cli.waiting"] = types.SimpleNamespace(wait=wait)
        cli.COMMANDS["wait"] = cli.Entry("waiting:wait", "")
        cli.main(["wait"])
    """
    with python(code) as speaker:
        assert speaker.hear() == "waiting"
        speaker.process.send_signal(signal.SIGINT)
        assert speaker.process.wait(10) == 130
        assert speaker.process.stderr is not None
        assert speaker.process.stderr.read() == ""


def cpu_seconds(*command: str) -> float:
    """Return the user and system time of a command: unlike the wall clock, other jobs hardly change it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
