"""`tidegate serve`: the HTTP app."""

from __future__ import annotations

import errno
import socket
from typing import Annotated

import typer

from tidegate.errors import TidegateError


def serve(
    host: Annotated[str | None, typer.Option(help="Address; TIDEGATE_HTTP_HOST if unsaid.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; TIDEGATE_HTTP_PORT if unsaid.")] = None,
) -> None:
    """Serve events, recommendations and figures over HTTP until stopped."""
    import uvicorn

    from tidegate import log
    from tidegate.api import create_app
    from tidegate.settings import get_settings

    settings = get_settings()
    host, port = host or settings.http_host, settings.http_port if port is None else port
    log.configure(settings.log_level, settings.log_format)
    with listening(host, port) as listener:
        address = listener.getsockname()
        log.get_log("api").info("listening on http://%s:%s", address[0], address[1])
        # Our own log says what happens; a line for each request is what /metrics replaces.
        config = uvicorn.Config(create_app(), log_config=None, access_log=False, timeout_graceful_shutdown=10)
        server = uvicorn.Server(config)
        server.run(sockets=[listener])
    if not server.started:
        raise TidegateError("The HTTP app could not start.", "The lines above say why; see `tidegate doctor`.")


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises TidegateError where the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        cause = f"Port {port} of {host} is taken." if taken else f"Nobody can listen on {host}:{port}: {error}."
        raise TidegateError(cause, "Choose another with --port or TIDEGATE_HTTP_PORT.") from None
    return listener
