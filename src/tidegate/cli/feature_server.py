"""`tidegate feature-server`: Feast's HTTP server, an order of magnitude faster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from tidegate.errors import BadRequest, MissingPackage


def feature_server(
    chdir: Annotated[
        Path | None,
        typer.Option(
            "-c", "--chdir", help="Folder with a feature_store.yaml, yours or anybody's; tidegate's if unsaid."
        ),
    ] = None,
    host: Annotated[str, typer.Option("-h", "--host", help="Address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("-p", "--port", min=0, max=65535, help="Port.")] = 6566,
    workers: Annotated[int, typer.Option("-w", "--workers", min=1, help="Processes that answer.")] = 1,
    registry_ttl_sec: Annotated[
        int, typer.Option("-r", "--registry_ttl_sec", min=1, help="Seconds after which the registry is read again.")
    ] = 60,
    keep_alive_timeout: Annotated[int, typer.Option(min=1, help="Seconds that an idle connection is kept.")] = 30,
    max_requests: Annotated[int, typer.Option(min=0, help="Requests after which a worker is replaced; 0 = never.")] = 0,
    access_log: Annotated[bool, typer.Option("--access-log", help="Print a line for each request.")] = False,
    key: Annotated[Path | None, typer.Option("-k", "--key", help="Private key, for TLS.")] = None,
    cert: Annotated[Path | None, typer.Option("--cert", help="Certificate, for TLS.")] = None,
) -> None:
    """Serve features over HTTP as `feast serve` does, until stopped: the same routes and the same JSON."""
    if (key is None) != (cert is None):
        raise BadRequest("TLS needs a key and a certificate.", "Give both --key and --cert.")
    options = {
        "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "workers": workers,
        "keepalive": keep_alive_timeout,
        "max_requests": max_requests,
        "max_requests_jitter": max_requests // 20,  # so that the workers do not all go at once
        "accesslog": "-" if access_log else None,
        "keyfile": key and str(key.resolve()),
        "certfile": cert and str(cert.resolve()),
    }
    with repository(chdir) as folder:
        run(folder, {name: value for name, value in options.items() if value is not None}, registry_ttl_sec)


def run(folder: Path, options: dict[str, Any], refresh_seconds: int) -> None:
    """Serve a repository. Raises MissingPackage."""
    try:
        from tidegate.stores.server_process import FeatureServer
    except ModuleNotFoundError as error:
        if error.name not in {"feast", "gunicorn", "uvicorn_worker"}:
            raise
        raise MissingPackage(f"{error.name} is not installed.", "Install it: pip install 'tidegate[feast]'.") from None
    os.chdir(folder)  # as `feast -c` does: paths in feature_store.yaml are meant from there
    FeatureServer(folder, options, refresh_seconds).run()


@contextmanager
def repository(chdir: Path | None) -> Iterator[Path]:
    """Yield the folder to serve, with the environment its feature_store.yaml needs where it is tidegate's own."""
    from tidegate import feature_store

    ours = feature_store.repository()
    folder = ours if chdir is None else chdir.resolve()
    if not (folder / feature_store.SETTINGS).is_file():
        raise BadRequest(f"{folder} has no {feature_store.SETTINGS}.", "Name another folder with --chdir.")
    if folder != ours:
        yield folder
        return
    from tidegate.postgres import open_database
    from tidegate.postgres.variables import feast_variables

    with open_database() as database:  # an embedded server stays as long as we do
        os.environ.update(feast_variables(database))
        yield folder
