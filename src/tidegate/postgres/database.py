"""The database that tidegate works on, embedded or somebody's own server.

`TIDEGATE_DATABASE_URL` decides: unset means the embedded server in TIDEGATE_HOME. `DATABASE_URL` is never
read. Connections are handed on in libpq's key=value form, the one form that every client here understands
in full; the queue's client drops `?host=` from a URI.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tidegate.errors import DatabaseUnavailable, SettingsError
from tidegate.postgres.embedded import EmbeddedServer
from tidegate.postgres.profiles import PROFILES
from tidegate.settings import Settings, get_settings

CONNECT_SECONDS = 10  # libpq would wait for minutes on a host that swallows packets


class Database:
    """One database, and this process's lease on the embedded server where that is what it is.

    Safe to share between threads. Its text never shows the password.
    """

    def __init__(self, conninfo: str, server: EmbeddedServer | None = None) -> None:
        self.conninfo = conninfo
        self._server = server

    @property
    def embedded(self) -> bool:
        """Whether the embedded server runs it."""
        return self._server is not None

    @property
    def parameters(self) -> dict[str, str]:
        """The connection parameters by libpq's names, the password included."""
        return {key: str(value) for key, value in conninfo_to_dict(self.conninfo).items()}

    @property
    def sqlalchemy_url(self) -> str:
        """The same database for SQLAlchemy, Alembic and Celery's results, the password included."""
        return render_url(self.parameters, "postgresql+psycopg")

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """Return a new connection; `options` go to `psycopg.connect`. Raises DatabaseUnavailable."""
        try:
            return psycopg.connect(self.conninfo, **{"connect_timeout": CONNECT_SECONDS} | options)
        except psycopg.OperationalError as error:
            raise self._unavailable(error) from None

    def named(self, name: str) -> Database:
        """Return another database of the same server; closing it gives no lease back."""
        return Database(make_conninfo(self.conninfo, dbname=name))

    def configured(self, **settings: str) -> Database:
        """Return the same database, whose every connection starts with these settings of the server."""
        given = self.parameters.get("options", "")
        options = " ".join([given, *(f"-c {name}={value}" for name, value in settings.items())])
        return Database(make_conninfo(self.conninfo, options=options.strip()))

    def close(self) -> None:
        """Give the lease on the embedded server back. Connections are their owners' to close."""
        if self._server is not None:
            self._server.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __str__(self) -> str:
        shown = self.parameters
        return f"{shown.get('dbname', '(default)')} on {shown.get('host', 'the local socket')}"

    def __repr__(self) -> str:
        return f"<Database {self}>"

    def _unavailable(self, error: psycopg.OperationalError) -> DatabaseUnavailable:
        said = str(error).strip().splitlines()[-1].rstrip(".")
        step = (
            "Start it with `tidegate database start`."
            if self.embedded
            else "Check TIDEGATE_DATABASE_URL and its server."
        )
        return DatabaseUnavailable(f"No connection to {self}: {said}.", step)


def open_database(settings: Settings | None = None) -> Database:
    """Return the database of these settings, starting or joining the embedded server where it is that one.

    Use it as a context manager, or call `close()`; a process that ends otherwise gives its lease back all
    the same. An external server is not contacted here: `connect` says what is wrong with it. Raises
    DatabaseUnavailable, SettingsError.
    """
    settings = settings or get_settings()
    if settings.database_url is not None:
        return Database(parse_url(settings.database_url))
    server = embedded_server(settings)
    return Database(server.join(), server)


def embedded_server(settings: Settings) -> EmbeddedServer:
    """Return the embedded server of these settings, without starting it."""
    return EmbeddedServer(settings.home, {**PROFILES[settings.postgres_profile], **settings.postgres_settings})


def parse_url(url: str) -> str:
    """Return the conninfo of a URI, be it SQLAlchemy's `postgresql+driver://`, or of a key=value string.

    Raises SettingsError; its text repeats nothing of `url`, which may hold a password.
    """
    try:
        libpq_url = re.sub(r"^postgres(ql)?\+\w+://", "postgresql://", url.strip())
        return make_conninfo(**{key: str(value) for key, value in conninfo_to_dict(libpq_url).items()})
    except psycopg.ProgrammingError:
        raise SettingsError(
            "TIDEGATE_DATABASE_URL is not a PostgreSQL address.",
            "Write postgresql://user:password@host:5432/name, or host=... port=... user=... dbname=...",
        ) from None


def render_url(parameters: Mapping[str, str], scheme: str) -> str:
    """Return a URI of libpq parameters. Socket folders and lists of hosts go into the query.

    Blanks become %20 everywhere: SQLAlchemy reads a plus sign in the query as a blank, libpq does not.
    """
    rest = dict(parameters)
    login = ":".join(quote(rest.pop(key), safe="") for key in ("user", "password") if key in rest)
    name = quote(rest.pop("dbname", ""), safe="")
    host = rest.get("host", "/")
    address = "" if "/" in host or "," in host else _address(rest.pop("host"), rest.pop("port", None))
    query = urlencode(rest, quote_via=quote, safe="")
    return f"{scheme}://{login}{'@' if login else ''}{address}/{name}{'?' if query else ''}{query}"


def _address(host: str, port: str | None) -> str:
    bracketed = f"[{host}]" if ":" in host else host
    return f"{bracketed}:{port}" if port else bracketed
