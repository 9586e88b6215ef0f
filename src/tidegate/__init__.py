"""tidegate: the recommender that lives in PostgreSQL and keeps learning.

Importing this package costs nothing: every name is looked up on first use, so that `tidegate --help` and a
trigger's helper script do not pay for a database driver.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidegate.client import Client
    from tidegate.errors import TidegateError
    from tidegate.postgres import Database, open_database
    from tidegate.settings import Settings, get_settings

__all__ = ["Client", "Database", "Settings", "TidegateError", "__version__", "get_settings", "open_database"]

_HOMES = {
    "Client": "tidegate.client",
    "Database": "tidegate.postgres",
    "Settings": "tidegate.settings",
    "TidegateError": "tidegate.errors",
    "get_settings": "tidegate.settings",
    "open_database": "tidegate.postgres",
}


def __getattr__(name: str) -> Any:
    """Return a public name from the module that defines it, importing that module now."""
    if name == "__version__":
        return version("tidegate")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'tidegate' has no attribute {name!r}")
