"""GET /status, /health, /ready and /metrics: what operators and their machines ask."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from tidegate.api.collaborators import TheClient, TheFigures
from tidegate.api.problems import answers
from tidegate.errors import SchemaMissing
from tidegate.queries import queries
from tidegate.status import Status, read_status

router = APIRouter(tags=["operations"])


class Health(BaseModel):
    """A sign of life."""

    status: str = "ok"


@router.get("/status", responses=answers(HTTPStatus.SERVICE_UNAVAILABLE))
def status(client: TheClient) -> Status:
    """Return how full each stream is, what trains, what is live and how well it does."""
    return client.run(read_status)


@router.get("/health")
def health() -> Health:
    """Tell that the process lives; the database is not asked."""
    return Health()


@router.get("/ready", responses=answers(HTTPStatus.SERVICE_UNAVAILABLE))
def ready(client: TheClient) -> Health:
    """Tell whether requests can be answered: the database is there, and its schema."""
    found = client.run(lambda connection: connection.execute(queries["schema_present"]).fetchone())
    if found is None or not found[0]:
        raise SchemaMissing("The database has no tidegate schema, or an old one.")
    return Health()


@router.get("/metrics", response_class=Response)
def metrics(figures: TheFigures) -> Response:
    """Return the figures of this process for Prometheus."""
    return Response(generate_latest(figures.registry), media_type=CONTENT_TYPE_LATEST)
