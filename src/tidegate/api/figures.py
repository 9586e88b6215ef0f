"""Figures for Prometheus: requests and their seconds, events by outcome, impressions by layer."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A lookup takes milliseconds; a batch of ten thousand events a second.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Figures:
    """The figures of one app, in a registry of its own so that two apps of a process do not clash."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "tidegate_http_requests", "Requests.", ("method", "route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "tidegate_http_request_seconds",
            "Seconds of a request.",
            ("method", "route"),
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.events = Counter("tidegate_events", "Events received over HTTP.", ("outcome",), registry=self.registry)
        self.impressions = Counter(
            "tidegate_impressions", "Answers given over HTTP.", ("stream", "layer"), registry=self.registry
        )


class CountRequests:
    """Count each request by its route: the path would make a time series of every user."""

    def __init__(self, app: ASGIApp, figures: Figures) -> None:
        self._app = app
        self._figures = figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on and take its time."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = "500"

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = getattr(scope.get("route"), "path_format", "unknown")
            self._figures.requests.labels(scope["method"], route, status).inc()
            self._figures.seconds.labels(scope["method"], route).observe(time.perf_counter() - began)
