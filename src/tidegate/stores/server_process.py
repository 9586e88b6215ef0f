"""The processes of a feature server: one that keeps watch, and workers that each open everything for themselves.

Feast's own `serve` opens the store before it forks, and its workers then talk over one connection. Here the parent
imports Feast, which takes seconds and is shared, and opens nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feast import FeatureStore
from feast import metrics as feast_metrics
from gunicorn.app.base import BaseApplication

from tidegate.stores.server import REFRESH_SECONDS, create_app
from tidegate.stores.server_limits import LIMIT_BYTES, LIMIT_REQUESTS
from tidegate.stores.server_worker import FeatureWorker

GRACE_SECONDS = 30  # for requests that are being answered when it is told to stop


@dataclass(frozen=True)
class Served:
    """What is served, and how much of it at once."""

    repository: Path
    settings: Path  # a feature_store.yaml
    refresh_seconds: int = REFRESH_SECONDS
    limit_bytes: int = LIMIT_BYTES  # of a body
    limit_requests: int = LIMIT_REQUESTS  # that a worker is answering
    metrics: bool = False  # on port 8000 too


class FeatureServer(BaseApplication):
    """A feature server of a feature repository; `run` blocks until SIGTERM or SIGINT.

    `options` are gunicorn's settings and win over those here. SIGHUP replaces the workers one after the other.
    """

    def __init__(self, served: Served, options: Mapping[str, Any]) -> None:
        self._served = served
        self._given = options
        super().__init__()

    def load_config(self) -> None:
        """Tell gunicorn what it needs to know."""
        settings = {
            "worker_class": FeatureWorker,
            "preload_app": False,  # everything is opened after the fork
            "graceful_timeout": GRACE_SECONDS,
            "timeout": 120,  # a worker that hangs is replaced; importing alone takes seconds on a busy machine
            "child_exit": forget_worker,
            **self._given,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Return the app of a worker; gunicorn calls it in the worker."""
        served = self._served
        store = FeatureStore(repo_path=str(served.repository), fs_yaml_file=served.settings)
        app = create_app(
            store,
            refresh_seconds=served.refresh_seconds,
            limit_bytes=served.limit_bytes,
            limit_requests=served.limit_requests,
        )
        feast_metrics.init_worker_monitoring()
        feast_metrics.init_worker_freshness_monitoring(store)
        return app

    def run(self) -> None:
        """Serve, until stopped."""
        if self._served.metrics:
            serve_metrics()
        super().run()


def serve_metrics() -> None:
    """Start the page of figures that `feast serve --metrics` has on port 8000, in a process of its own."""
    feast_metrics.start_metrics_server(None, start_resource_monitoring=False, start_freshness_monitoring=False)


def forget_worker(_: object, worker: Any) -> None:
    """Take the gauges of a worker that ended out of the figures."""
    feast_metrics._config.enabled = True  # noqa: SLF001  # it is switched on in workers only
    feast_metrics.mark_process_dead(worker.pid)
