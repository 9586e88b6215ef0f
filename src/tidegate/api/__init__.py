"""tidegate over HTTP. `tidegate serve` runs it; `uvicorn --factory tidegate.api:create_app` does too.

It is a thin layer over tidegate.Client: what holds in Python holds here. It loads neither torch nor Celery
nor Feast.
"""

from tidegate.api.app import create_app

__all__ = ["create_app"]
