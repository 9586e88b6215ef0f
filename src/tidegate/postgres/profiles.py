"""The settings that the embedded server starts with, each with its reason.

They go on the server's command line, so they win over postgresql.conf and change with the program, not with
the data folder. An operator's own come last: TIDEGATE_POSTGRES_SETTINGS='{"shared_buffers": "1GB"}'.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

PRODUCTION: Mapping[str, str] = MappingProxyType(
    {
        "shared_buffers": "256MB",  # the stock 128 MB holds neither a window nor the item vectors beside it
        "effective_cache_size": "1GB",
        "work_mem": "16MB",  # folding and evaluation sort tens of thousands of rows
        "maintenance_work_mem": "256MB",  # an HNSW index builds in memory or takes many times as long
        "max_wal_size": "2GB",  # a COPY of a year of events must not force a checkpoint every few seconds
        "checkpoint_timeout": "15min",
        "wal_compression": "on",
        "random_page_cost": "1.1",  # the stock 4.0 describes a spinning disk
        "jit": "off",  # our statements take milliseconds; compiling one takes a hundred
        "max_connections": "200",  # every worker, keeper and HTTP process keeps a small pool
        "max_locks_per_transaction": "256",  # one lock for each daily partition and its indexes
        "autovacuum_naptime": "15s",  # the live feature rows change all the time
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_lock_waits": "on",
        "log_line_prefix": "%m [%p] %a ",
        "lc_messages": "C",  # errors that can be searched for
    }
)

# A test's database may vanish with the machine: no fsync, no waiting for the log.
TEST: Mapping[str, str] = MappingProxyType(
    {
        **PRODUCTION,
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "shared_buffers": "128MB",
    }
)

PROFILES: Mapping[str, Mapping[str, str]] = MappingProxyType({"production": PRODUCTION, "test": TEST})
