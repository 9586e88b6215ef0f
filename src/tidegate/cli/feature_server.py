"""`tidegate feature-server`: Feast's HTTP server, an order of magnitude faster.

The options are those of `feast serve`, and mean the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from tidegate.errors import BadRequest, MissingPackage
from tidegate.stores.server_limits import LIMIT_BYTES, LIMIT_REQUESTS

MIB = 2**20


def feature_server(
    chdir: Annotated[
        Path | None,
        typer.Option(
            "-c", "--chdir", help="Folder with a feature_store.yaml, yours or anybody's; tidegate's if unsaid."
        ),
    ] = None,
    settings: Annotated[
        Path | None, typer.Option("-f", "--feature-store-yaml", help="Another file than that folder's.")
    ] = None,
    host: Annotated[str, typer.Option("-h", "--host", help="Address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("-p", "--port", min=0, max=65535, help="Port.")] = 6566,
    kind: Annotated[str, typer.Option("-t", "--type", help="Only http: there is no gRPC server here.")] = "http",
    workers: Annotated[
        int, typer.Option("-w", "--workers", min=-1, help="Processes that answer; -1 = twice the processors and one.")
    ] = 1,
    worker_connections: Annotated[
        int, typer.Option(min=1, help="Requests that a worker answers at once; one more gets a 503.")
    ] = LIMIT_REQUESTS,
    max_body: Annotated[int, typer.Option(min=1, help="MiB of a body; a larger one gets a 413.")] = LIMIT_BYTES // MIB,
    registry_ttl_sec: Annotated[
        int, typer.Option("-r", "--registry_ttl_sec", min=1, help="Seconds after which the registry is read again.")
    ] = 60,
    keep_alive_timeout: Annotated[int, typer.Option(min=1, help="Seconds that an idle connection is kept.")] = 30,
    max_requests: Annotated[int, typer.Option(min=0, help="Requests after which a worker is replaced; 0 = never.")] = 0,
    max_requests_jitter: Annotated[
        int | None, typer.Option(min=0, help="At most so many more; a twentieth if unsaid.")
    ] = None,
    access_log: Annotated[bool, typer.Option(help="Print a line for each request.")] = False,
    metrics: Annotated[
        bool, typer.Option("-m", "--metrics", help="Serve the figures on port 8000 too, as `feast serve -m` does.")
    ] = False,
    key: Annotated[Path | None, typer.Option("-k", "--key", help="Private key, for TLS.")] = None,
    cert: Annotated[Path | None, typer.Option("--cert", help="Certificate, for TLS.")] = None,
) -> None:
    """Serve features over HTTP as `feast serve` does, until stopped: the same routes and the same JSON."""
    check(kind, workers, key, cert)
    options = {
        "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "workers": workers if workers > 0 else 2 * (os.cpu_count() or 1) + 1,
        "keepalive": keep_alive_timeout,
        "max_requests": max_requests,
        # so that the workers do not all go at once
        "max_requests_jitter": max_requests // 20 if max_requests_jitter is None else max_requests_jitter,
        "accesslog": "-" if access_log else None,
        "keyfile": key and str(key.resolve()),
        "certfile": cert and str(cert.resolve()),
    }
    given = {name: value for name, value in options.items() if value is not None}
    limits = {"limit_bytes": max_body * MIB, "limit_requests": worker_connections}
    with repository(chdir, settings) as (folder, file):
        run(folder, file, given, refresh_seconds=registry_ttl_sec, metrics=metrics, **limits)


def check(kind: str, workers: int, key: Path | None, cert: Path | None) -> None:
    """Raise BadRequest for options that do not go together."""
    if kind != "http":
        raise BadRequest(f"There is no {kind} server here.", "Leave --type out, or use `feast serve --type grpc`.")
    if workers == 0:
        raise BadRequest("No workers, no answers.", "Give --workers 1 or more, or -1.")
    if (key is None) != (cert is None):
        raise BadRequest("TLS needs a key and a certificate.", "Give both --key and --cert.")


def run(folder: Path, file: Path, options: dict[str, Any], **served: Any) -> None:
    """Serve a repository. Raises MissingPackage."""
    try:
        from tidegate.stores.server_process import FeatureServer, Served
    except ModuleNotFoundError as error:
        if error.name not in {"feast", "gunicorn", "uvicorn_worker"}:
            raise
        raise MissingPackage(f"{error.name} is not installed.", "Install it: pip install 'tidegate[feast]'.") from None
    os.chdir(folder)  # as `feast -c` does: paths in feature_store.yaml are meant from there
    FeatureServer(Served(folder, file, **served), options).run()


@contextmanager
def repository(chdir: Path | None, settings: Path | None) -> Iterator[tuple[Path, Path]]:
    """Yield the folder to serve and its settings.

    Anybody's folder is served by the feature_store.yaml in it. tidegate's own, named or not, is served by the stores
    that TIDEGATE_FEAST_STORES chooses, with the environment that its settings need.
    """
    from tidegate import feature_store

    ours = feature_store.repository()
    folder = ours if chdir is None else chdir.resolve()
    file = settings.resolve() if settings else in_force(folder)
    if not file.is_file():
        step = "Name another file with --feature-store-yaml." if settings else "Name another folder with --chdir."
        raise BadRequest(f"{file.parent} has no {file.name}.", step)
    if folder != ours:
        yield folder, file
        return
    from tidegate.postgres import open_database
    from tidegate.postgres.variables import feast_variables

    with open_database() as database:  # an embedded server stays as long as we do
        os.environ.update(feast_variables(database))
        yield folder, file


def in_force(folder: Path) -> Path:
    """Return the settings of a folder: TIDEGATE_FEAST_STORES chooses those of tidegate's own."""
    from tidegate import feature_store

    return feature_store.settings_file() if folder == feature_store.repository() else folder / feature_store.SETTINGS
