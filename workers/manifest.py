"""The manifest of a version: all that it takes to train it again, and to say why that came out differently.

What is long is not copied but named: windows by their content hash, what was read by its hash, code by the hash
of the files that training consists of.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import torch

import models
import tidegate
from models.training import FitSettings
from tidegate.queries import queries
from workers.material import Material
from workers.reading import Task

FORMAT = 2  # 1 had neither hashes nor what was excluded, and cannot be replayed
LIBRARIES = ("torch", "numpy", "transformers", "safetensors")
# Modules of workers that decide what weights come out; those of models do, but for packages that only compare.
TRAINING = ("increment", "material", "reading", "catalogues", "profiles")
COMPARING = ("backtest", "baselines")


def manifest(
    connection: psycopg.Connection[Any], material: Material, encoder: str, seed: int, device: torch.device
) -> dict[str, Any]:
    """Return the manifest of the version that a run is about to publish."""
    task = material.task
    settings = FitSettings(**task.settings)
    return {
        "format": FORMAT,
        "window_id": task.window_id,
        "position": task.position,
        "cut_at": task.cut_at,
        "parent_id": task.parent_id,
        "parent_hash": task.parent_hash,
        "parent_position": task.parent_position,
        "parent_learned_until": task.learned_until,
        "seed": seed,
        "settings": asdict(settings),
        # JSON knows no infinity; a window too small for a holdout was learned whole.
        "learned_until": material.boundary if np.isfinite(material.boundary) else None,
        "encoder": encoder,
        "service": task.service.as_json(),
        "windows": learned_windows(connection, task),
        "replayed": replayed_windows(connection, material),
        "excluded": task.excluded,
        "tightened": task.tightened,
        "read": material.read,
        "events": task.n,
        "items_added": len(material.catalogue),
        "users": len(material.timelines),
        "replayed_users": len(material.replay),
        "code": code(),
        "libraries": libraries(),
        "device": described(device, settings.threads),
    }


def learned_windows(connection: psycopg.Connection[Any], task: Task) -> list[dict[str, Any]]:
    """Return the windows from the parent's to the run's own."""
    asked = {"stream": task.stream, "first": task.first, "last": task.position, "excluded": task.excluded}
    positions = [p for (p,) in connection.execute(queries["positions_between"], asked).fetchall()]
    return windows_at(connection, task.stream, positions)


def replayed_windows(connection: psycopg.Connection[Any], material: Material) -> list[dict[str, Any]]:
    """Return the earlier windows that were drawn from, with the drawn buckets of users."""
    found = windows_at(connection, material.task.stream, sorted({drawn.position for drawn in material.draws}))
    buckets = {w["position"]: [[d.low, d.high] for d in material.draws if d.position == w["position"]] for w in found}
    return [window | {"buckets": buckets[window["position"]]} for window in found]


def windows_at(connection: psycopg.Connection[Any], stream: str, positions: list[int]) -> list[dict[str, Any]]:
    """Return the id, position and content hash of windows."""
    rows = connection.execute(queries["windows_at"], {"stream": stream, "positions": positions}).fetchall()
    return [{"window_id": window, "position": position, "content_hash": name} for window, position, name in rows]


@lru_cache(maxsize=1)
def code() -> dict[str, str | None]:
    """Return the package's version, the hash of the code that trains, and the commit if this is a checkout."""
    return {"version": tidegate.__version__, "hash": code_hash(), "commit": commit()}


def code_hash() -> str:
    """Return a name for the source of all that decides what weights come out."""
    digest = sha256()
    for name, file in training_files():
        digest.update(f"{name}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def training_files() -> Iterator[tuple[str, Path]]:
    """Yield the files that training consists of and their names from the root, in order of these."""
    assert models.__file__ is not None
    folder = Path(models.__file__).parent
    named = {file.relative_to(folder.parent).as_posix(): file for file in folder.rglob("*.py")}
    yield from sorted((n, f) for n, f in named.items() if n.split("/")[1] not in COMPARING)
    yield from ((f"workers/{name}.py", Path(__file__).with_name(f"{name}.py")) for name in sorted(TRAINING))


def commit() -> str | None:
    """Return the commit of the checkout that this runs from; None for an installation."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None
    with suppress(OSError):
        asked = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
        return asked.stdout.strip() or None
    return None


def libraries() -> dict[str, str]:
    """Return the versions of what computes."""
    return {name: version(name) for name in LIBRARIES} | {"python": platform.python_version()}


def described(device: torch.device, threads: int) -> dict[str, Any]:
    """Return the kind and name of a device, and the number of threads that add up on a CPU."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return {"kind": device.type, "name": name, "threads": threads}


def processor() -> str:
    """Return the processor's name and the instructions that torch uses on it: other ones round differently."""
    return f"{processor_name()} ({torch.backends.cpu.get_cpu_capability()})"


def processor_name() -> str:
    """Return the name that the system gives the processor."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or os.uname().machine
