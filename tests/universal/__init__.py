"""Feast's own universal tests, run against our stores: `FEAST_REPO=/path/to/feast make test-feast-universal`.

Nothing here is collected by our own suite, and nothing of Feast's repository is kept here.
"""
