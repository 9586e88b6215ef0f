from __future__ import annotations

import errno
import inspect
import sys

import psycopg
import pytest

from tidegate import errors
from tidegate.cli.mistakes import exit_code, translate
from tidegate.errors import DatabaseUnavailable, SchemaMissing, TidegateError

ERRORS = [value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, TidegateError)]


def test_an_error_says_the_cause_and_then_the_next_step():
    assert str(SchemaMissing("There is no table.")) == "There is no table. Run `tidegate migrate`."


def test_the_next_step_can_be_the_case_s_own():
    assert str(SchemaMissing("There is no table.", "Ask Ada.")) == "There is no table. Ask Ada."


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_the_tree_in_the_docstring_shows_every_error(error: type):
    assert error.__name__ in (errors.__doc__ or "")


def test_an_operator_s_mistake_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]):
    assert exit_code(DatabaseUnavailable("No server.", "Start it.")) == 1
    assert capsys.readouterr().err == "tidegate: No server. Start it.\n"


def test_ctrl_c_is_silent_and_exit_code_130(capsys: pytest.CaptureFixture[str]):
    assert exit_code(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == ""


def test_a_defect_of_ours_is_not_called_a_mistake():
    assert exit_code(ZeroDivisionError()) is None


def test_a_full_disk_is_explained():
    mistake = translate(OSError(errno.ENOSPC, "No space left on device", "/data/x"))
    assert str(mistake).startswith("/data/x: No space left on device. Free some space")


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (psycopg.errors.UndefinedTable('relation "x" does not exist'), SchemaMissing),
        (psycopg.errors.InsufficientPrivilege("permission denied for x"), DatabaseUnavailable),
        (psycopg.errors.AdminShutdown("terminating connection"), DatabaseUnavailable),
    ],
)
def test_what_postgresql_says_becomes_a_sentence_with_a_next_step(error: Exception, meaning: type):
    mistake = translate(error)
    assert type(mistake) is meaning
    assert mistake.next_step


def test_errors_of_the_driver_are_known_without_importing_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "psycopg")
    assert translate(ValueError()) is None
    assert "psycopg" not in sys.modules
