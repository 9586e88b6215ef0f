"""A catalogue is encoded anew in the background; then its text changes at once.

An update of the language model changes every item's embedding, and a catalogue takes minutes to hours to encode. So
the embeddings of the new encoder are written batch by batch into a file beside the old ones, whoever drives the
generator decides what happens in between, and nothing sees the file before it is whole. The flip then gives a
recommender the new text. It stays in the same coordinates: the new whitening is turned so that its rows lie as close
to the old ones as a rotation can bring them (Schönemann 1966, orthogonal Procrustes), and the projection that was
learned on the old rows reads the new ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from models.errors import CatalogueShrank
from models.recommender import Recommender
from models.text import TextEncoder
from models.whitening import Whitening, fit_whitening, has_text, one_thread

PORTION = 512  # texts between two times that the caller hears of it


def encoded(
    encoder: TextEncoder, texts: Sequence[str], portion: int = PORTION
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (which texts (n,), their rows (n, E) float32) until all are encoded, the short ones first."""
    order = np.argsort([len(text) for text in texts], kind="stable")
    for begin in range(0, len(order), portion):
        chosen = order[begin : begin + portion]
        yield chosen, encoder.encode([texts[i] for i in chosen])


def write(encoder: TextEncoder, texts: Sequence[str], file: Path, portion: int = PORTION) -> Iterator[int]:
    """Encode texts into `file` as a memory map (N, E); yield after each portion how many are done.

    The file appears when the generator is exhausted; one that is abandoned leaves no file under this name.
    """
    draft = file.with_name(f"{file.name}.{os.getpid()}.part")
    rows = np.lib.format.open_memmap(draft, "w+", np.float32, (len(texts), encoder.dimensions))
    done = 0
    try:
        for chosen, part in encoded(encoder, texts, portion):
            rows[chosen] = part
            done += len(chosen)
            yield done
        rows.flush()
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def read(file: Path) -> np.ndarray:
    """Return what `write` wrote as a memory map (N, E); a row is read from the disk when it is looked at."""
    return np.load(file, mmap_mode="r")


def flip(model: Recommender, text: np.ndarray) -> None:
    """Give every item of a recommender a new embedding (N, E), from another encoder of the same width.

    Items, residuals, popularity and everything that was learned stay as they are. Raises CatalogueShrank where the
    rows are not one an item, or of another width.
    """
    wanted = (len(model), model.architecture.text_dimensions)
    if text.shape != wanted:
        raise CatalogueShrank(f"the new text has shape {text.shape}, the model wants {wanted}; encode all of its items")
    fitted = turned(fit_whitening(text, model.architecture.whitened_dimensions), text, model.text.cpu().numpy())
    model.centre, model.basis = (torch.from_numpy(v).to(model.device) for v in (fitted.centre, fitted.basis))
    model.text = torch.from_numpy(fitted.apply(text)).to(model.device)


def turned(fitted: Whitening, text: np.ndarray, before: np.ndarray) -> Whitening:
    """Return a whitening of `text` (N, E) with its rows turned towards those `before` (N, k)."""
    both = has_text(text) & has_text(before)
    if not fitted.fitted or not both.any():
        return fitted
    with one_thread():
        now, old = (torch.from_numpy(np.asarray(rows[both], dtype=np.float64)) for rows in (fitted.apply(text), before))
        left, _, right = torch.linalg.svd(now.T @ old)
        return Whitening(fitted.centre, (torch.from_numpy(fitted.basis) @ (left @ right)).numpy())
