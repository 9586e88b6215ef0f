"""Celery workers: where tidegate and the models meet.

`celery -A workers worker -Q features` cuts and materialises windows, `-Q gpu --pool solo` trains on them.
"""

from workers.app import app

__all__ = ["app"]
