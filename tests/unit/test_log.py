from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from tidegate.log import configure, get_log


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the log goes; the logging of the test run is put back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_an_event_is_one_readable_line(stream: io.StringIO):
    configure(stream=stream)
    get_log("keeper").info("folded %s events in %d ms", f"{1204:,}", 31)
    assert re.fullmatch(r"\d\d:\d\d:\d\d keeper   folded 1,204 events in 31 ms\n", stream.getvalue())


def test_a_warning_says_that_it_is_one(stream: io.StringIO):
    configure(stream=stream)
    get_log("keeper").warning("slow")
    assert stream.getvalue().endswith("keeper   warning: slow\n")


def test_the_same_event_as_json(stream: io.StringIO):
    configure(form="json", stream=stream)
    get_log("gpu").info("published", extra={"version": 7})
    event = json.loads(stream.getvalue())
    assert (event["part"], event["message"], event["version"]) == ("gpu", "published", 7)
    assert event["time"].endswith("+00:00")


def test_libraries_speak_from_warnings_upwards_only(stream: io.StringIO):
    configure("DEBUG", stream=stream)
    logging.getLogger("alembic.runtime").info("context impl")
    logging.getLogger("alembic.runtime").warning("look")
    get_log("keeper").debug("detail")
    assert [line[9:].split()[0] for line in stream.getvalue().splitlines()] == ["alembic", "keeper"]
