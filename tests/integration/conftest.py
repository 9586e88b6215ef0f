"""What the tests of Feast share: a database with the definitions applied costs seconds, so there is one to clone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import psycopg
import pytest

from tests.support.databases import clone, drop
from tidegate import feature_store, features
from tidegate.postgres import Database
from tidegate.settings import get_settings

STORES = "TIDEGATE_FEAST_STORES"

_numbers = count(1)


@pytest.fixture(scope="session")
def applied(server: Database, template: Database) -> Iterator[Database]:
    """A database with the definitions applied. Clone it, never write to it."""
    made = clone(server, "template_feast", template.parameters["dbname"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STORES, "stock")  # what the live tables serve needs no table of its own
        get_settings.cache_clear()
        assert features.apply_definitions(made)
    get_settings.cache_clear()
    assert features.apply_definitions(made)
    yield made
    drop(server, made)


@pytest.fixture
def store_database(server: Database, applied: Database) -> Iterator[Database]:
    """A fresh database with the definitions applied."""
    made = clone(server, f"feast_{next(_numbers)}", applied.parameters["dbname"])
    yield made
    feature_store.close()
    drop(server, made)


@pytest.fixture
def stock(store_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Feast's own online store, which windows are copied to."""
    feature_store.close()
    monkeypatch.setenv(STORES, "stock")
    get_settings.cache_clear()


@pytest.fixture
def writer(store_database: Database) -> Iterator[psycopg.Connection[Any]]:
    """A connection to it, each statement committed."""
    with store_database.connect(autocommit=True) as connection:
        yield connection
