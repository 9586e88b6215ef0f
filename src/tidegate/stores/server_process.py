"""The processes of a feature server: one that keeps watch, and workers that each open everything for themselves.

Feast's own `serve` opens the store before it forks, and its workers then talk over one connection. Here the parent
imports Feast, which takes seconds and is shared, and opens nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feast import FeatureStore
from feast import metrics as feast_metrics
from gunicorn.app.base import BaseApplication

from tidegate.stores.server import REFRESH_SECONDS, create_app
from tidegate.stores.server_worker import FeatureWorker

GRACE_SECONDS = 30  # for requests that are being answered when it is told to stop


class FeatureServer(BaseApplication):
    """A feature server of a feature repository; `run` blocks until SIGTERM or SIGINT.

    `options` are gunicorn's settings and win over those here. SIGHUP replaces the workers one after the other.
    """

    def __init__(self, repository: Path, options: Mapping[str, Any], refresh_seconds: int = REFRESH_SECONDS) -> None:
        self._repository = repository
        self._given = options
        self._refresh_seconds = refresh_seconds
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
        return create_app(FeatureStore(repo_path=str(self._repository)), refresh_seconds=self._refresh_seconds)


def forget_worker(_: object, worker: Any) -> None:
    """Take the gauges of a worker that ended out of the figures."""
    feast_metrics._config.enabled = True  # noqa: SLF001  # it is switched on in workers only
    feast_metrics.mark_process_dead(worker.pid)
