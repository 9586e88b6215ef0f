"""The offline store under the name by which a feature_store.yaml asks for it."""

from tidegate.stores.offline.logging import TidegateLoggingDestination
from tidegate.stores.offline.store import TidegateOfflineStore, TidegateOfflineStoreConfig

__all__ = ["TidegateLoggingDestination", "TidegateOfflineStore", "TidegateOfflineStoreConfig"]
