"""What routes are handed: the client and the figures of the app that they belong to."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request

from tidegate.api.figures import Figures
from tidegate.client import Client


def _client(request: Request) -> Client:
    return cast(Client, request.app.state.client)


def _figures(request: Request) -> Figures:
    return cast(Figures, request.app.state.figures)


TheClient = Annotated[Client, Depends(_client)]
TheFigures = Annotated[Figures, Depends(_figures)]
