"""Embeddings of item texts, kept between runs outside the repository.

An embedding depends on the encoder and the text and on nothing else, so a file an encoder holds them by the hash of
the text.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from models.text import TextEncoder, load_minilm

KEY = 16  # bytes of a text's hash


def cache() -> Path:
    """Return the folder in which embeddings are kept: the system's own for what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidegate" / "texts"


def embedder(
    encoder: TextEncoder | None = None, folder: Path | None = None, say: Callable[[str], None] = lambda _: None
) -> Callable[[Sequence[str]], np.ndarray]:
    """Return a function from texts to rows (n, E) float32; a text that was ever embedded is read, not encoded."""
    encoder = encoder or load_minilm()
    file = (folder or cache()) / f"{encoder.identity}.npz"

    def embed(texts: Sequence[str]) -> np.ndarray:
        known = read(file)
        keys = [sha256(text.encode()).digest()[:KEY] for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if new:
            say(f"encoding {len(new):,} texts with {encoder.identity}")
            known |= dict(zip(new, encoder.encode(list(new.values())), strict=True))
            write(file, known)
        return np.stack([known[key] for key in keys])

    return embed


def read(file: Path) -> dict[bytes, np.ndarray]:
    """Return what is kept; nothing where there is no such file."""
    if not file.exists():
        return {}
    with np.load(file) as kept:
        return {key.tobytes(): row for key, row in zip(kept["keys"], kept["rows"], strict=True)}


def write(file: Path, known: dict[bytes, np.ndarray]) -> None:
    """Keep embeddings; whoever reads meanwhile finds the old file or the new one, never a half."""
    file.parent.mkdir(parents=True, exist_ok=True)
    keys = np.frombuffer(b"".join(known), dtype=np.uint8).reshape(len(known), KEY)
    draft = file.with_suffix(f".{os.getpid()}.npz")
    np.savez(draft, keys=keys, rows=np.stack(list(known.values())))
    draft.replace(file)
