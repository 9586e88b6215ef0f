"""Run Feast's universal tests on our stores: python -m tests.universal /path/to/feast [arguments of pytest].

The tests are copied out of the checkout, so that `import feast` finds the installed Feast and not the
checkout's. The server is an embedded one that ends with the run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from sysconfig import get_path

from tidegate.postgres import Database, EmbeddedServer
from tidegate.postgres.profiles import TEST

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVIRONMENT = ROOT / ".venv-universal"
ONLINE = "tidegate.stores.online.TidegateOnlineStore"
INTEGRATION = "tests/integration"
# Every module whose tests take a store by configuration; why no others: docs/explanation/feast-universal-tests.md.
SUITES = tuple(
    f"{INTEGRATION}/{module}.py"
    for module in (
        "online_store/test_push_features_to_online_store",
        "online_store/test_universal_e2e",
        "online_store/test_universal_online",
        "online_store/test_universal_online_types",
        "offline_store/test_feature_logging",
        "offline_store/test_non_entity_mode",
        "offline_store/test_offline_write",
        "offline_store/test_persist",
        "offline_store/test_push_features_to_offline_store",
        "offline_store/test_universal_historical_retrieval",
        "offline_store/test_universal_materialization",
        "offline_store/test_universal_types",
        "materialization/test_universal_materialization",
        "registration/test_universal_odfv_feature_inference",
    )
)

# Each with its reason in docs/explanation/feast-universal-tests.md.
LEFT_OUT = (
    "test_push_features_and_read_async_dynamodb",
    "test_async_online_retrieval_with_event_timestamps_dynamo",
    "test_entity_ttl_online_store",
    "test_write_to_online_store_event_check",
    "test_odfv_write_methods",
)


def main(checkout: str, arguments: Sequence[str]) -> int:
    """Prepare everything, run the tests, return their exit code."""
    unwanted = " and ".join(f"not {name}" for name in LEFT_OUT)
    with tests_of(Path(checkout)) as folder, server() as database:
        command = [str(interpreter()), "-m", "pytest", "--integration", "-p", "no:cacheprovider"]
        command += ["-k", unwanted]
        return subprocess.run(
            [*command, *SUITES, *arguments], cwd=folder, env=environment(folder, database), check=False
        ).returncode


def interpreter() -> Path:
    """Return a Python that has what this one has and the packages that Feast's tests need beside."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
    wanted = (HERE / "requirements.txt").read_text(encoding="utf-8")
    stamp = ENVIRONMENT / "installed.txt"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        site = Path(
            subprocess.check_output(
                [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
            ).strip()
        )
        (site / "parent.pth").write_text(get_path("purelib") + "\n", encoding="utf-8")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt"], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return python


@contextmanager
def tests_of(checkout: Path) -> Iterator[Path]:
    """Yield a folder with nothing of the checkout but its Python tests and their settings."""
    source = checkout / "sdk" / "python"
    if not (source / "tests" / "universal").is_dir():
        sys.exit(f"{checkout} is no checkout of feast-dev/feast: name one with FEAST_REPO=/path/to/feast.")
    with tempfile.TemporaryDirectory(prefix="feast-tests-") as made:
        shutil.copytree(source / "tests", Path(made) / "tests")
        shutil.copy(source / "pytest.ini", made)
        yield Path(made)


@contextmanager
def server() -> Iterator[Database]:
    """Yield a database on a server of its own."""
    home = Path(tempfile.mkdtemp(prefix="tidegate-universal-", dir="/tmp"))
    home.chmod(0o755)  # the server's own account must be able to enter
    embedded = EmbeddedServer(home, TEST)
    try:
        database = Database(embedded.join(), embedded)
        with database.connect(autocommit=True) as made:
            made.execute("create extension vector")
        yield database
    finally:
        embedded.leave()
        shutil.rmtree((home / "postgres").resolve(), ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


def environment(folder: Path, database: Database) -> dict[str, str]:
    """Return what tells Feast's tests of our stores."""
    return os.environ | {
        "FEAST_IS_LOCAL_TEST": "True",  # else it wants the clouds' packages
        "FEAST_USAGE": "False",
        "FULL_REPO_CONFIGS_MODULE": "creators",
        "PYTHONPATH": os.pathsep.join((str(folder), str(HERE), str(ROOT / "src"))),
        "UNIVERSAL_ONLINE": os.environ.get("UNIVERSAL_ONLINE", ONLINE),
        "UNIVERSAL_SERVER": json.dumps(connection(database)),
    }


def connection(database: Database) -> dict[str, object]:
    """Return where the server is, in the words of Feast's configuration."""
    given = database.parameters
    return {
        "host": given["host"],
        "port": int(given["port"]),
        "database": given["dbname"],
        "user": given["user"],
        "password": given.get("password", ""),
        "sslmode": "disable",
    }


if __name__ == "__main__":
    if len(sys.argv) < 2 or not sys.argv[1]:
        sys.exit("Name a checkout of feast-dev/feast: FEAST_REPO=/path/to/feast make test-feast-universal.")
    sys.exit(main(sys.argv[1], sys.argv[2:]))
