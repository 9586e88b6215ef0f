"""Which files a language model is, by name or by path.

A name ("BAAI/bge-small-en-v1.5") is looked up among the files that transformers has already brought to this machine.
Nothing is ever fetched: a worker that waits for a network it does not have looks like one that hangs.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from models.errors import TextWeightsError


def folder(named: str | Path) -> Path:
    """Return the folder with the checkpoint `named` by path or by name. Raises TextWeightsError."""
    path = Path(named)
    if path.is_dir():
        return path
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(str(named), local_files_only=True))
    except (OSError, ValueError) as error:  # no such name, or nothing of it on this machine
        raise TextWeightsError(
            f"no language model {named}: no folder, and no checkpoint that transformers has on this machine; "
            "give the folder that save_pretrained wrote"
        ) from error


def weight_files(path: Path) -> list[Path]:
    """Return the files that hold the weights, in order of their names. Raises TextWeightsError where there are none."""
    found = sorted(path.glob("*.safetensors")) or sorted(path.glob("*.gguf"))
    if not found:
        raise TextWeightsError(f"no language model at {path}; give the folder that save_pretrained wrote")
    return found


def digest(path: Path) -> str:
    """Return the SHA-256 of the weights: that of the file, or of all files' hashes where there are several."""
    hashes = []
    for weights in weight_files(path):
        with weights.open("rb") as file:
            hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def named(path: Path) -> str:
    """Return what a checkpoint is called: its folder, or what the folder lies in where the folder's name says nothing.

    The cache of transformers keeps `models--OWNER--NAME/snapshots/COMMIT`; the name is NAME.
    """
    if path.parent.name == "snapshots":
        return path.parent.parent.name.rpartition("--")[2]
    return path.name if path.name != "model" else path.parent.name


def arguments(path: Path) -> dict[str, str]:
    """Return what transformers must be told besides the folder."""
    first = weight_files(path)[0]
    return {"gguf_file": first.name} if first.suffix == ".gguf" else {}


def width(path: Path) -> int | None:
    """Return E, the width of a state, where the checkpoint's settings say it without being loaded."""
    file = path / "config.json"
    settings = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    found = settings.get("hidden_size") or settings.get("n_embd")
    return int(found) if found else None
