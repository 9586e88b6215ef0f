"""What does a smaller text encoder gain, and what does it lose?

The item texts of the packaged shop go through MiniLM as it is and made smaller, in turns. Quality is the cosine to
the whole model's embedding, and the recall of its ten nearest items. One thread.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.measuring import ratio, report, take_turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.text import TextEncoder

TEXTS = 384
ROUNDS = 3
NEAREST = 10


def shop_texts() -> list[str]:
    """Return different item texts, spread over the catalogue."""
    from benchmarks.learning import journey

    found = sorted({item.text for item in journey.read(quick=True).items.values() if item.text})
    return found[:: max(1, len(found) // TEXTS)][:TEXTS]


def encoders() -> dict[str, TextEncoder]:
    """Return MiniLM whole and made smaller."""
    from models.language.compression import Compression
    from models.text import TextEncoder, load_minilm

    path = load_minilm().path
    ways = {
        "fp32": None,
        "int8": Compression(int8=True),
        "neurons_10": Compression(neurons=0.10),
        "neurons_25": Compression(neurons=0.25),
        "heads_17": Compression(heads=0.17),
        "int8_neurons_10": Compression(int8=True, neurons=0.10),
    }
    if "avx512_bf16" in Path("/proc/cpuinfo").read_text():
        ways["bf16"] = Compression(bf16=True)
    return {name: TextEncoder(path, smaller=smaller) for name, smaller in ways.items()}


def nearest(rows: np.ndarray) -> np.ndarray:
    """Return the NEAREST other rows of each."""
    cosine = rows @ rows.T
    np.fill_diagonal(cosine, -1.0)
    return np.argsort(-cosine, axis=1)[:, :NEAREST]


def recall(whole: np.ndarray, other: np.ndarray) -> float:
    """Return the share of the nearest items that is found again."""
    pairs = zip(nearest(whole), nearest(other), strict=True)
    return float(np.mean([len(np.intersect1d(a, b)) / NEAREST for a, b in pairs]))


def main() -> None:
    """Print rates, and what is lost."""
    import torch

    torch.set_num_threads(1)
    texts, known = shop_texts(), encoders()
    rows = {name: encoder.encode(texts) for name, encoder in known.items()}  # loads and warms

    def encoding(encoder: TextEncoder) -> Callable[[], object]:
        return lambda: encoder.encode(texts)

    seconds = take_turns({name: encoding(encoder) for name, encoder in known.items()}, ROUNDS)
    figures: dict[str, float] = {"fp32_texts_per_second": round(len(texts) / float(np.median(seconds["fp32"])))}
    for name in known:
        if name != "fp32":
            figures[f"{name}_times_as_fast"] = round(1 / ratio(seconds, name, "fp32"), 2)
            figures[f"{name}_cosine"] = round(float((rows["fp32"] * rows[name]).sum(axis=1).mean()), 4)
            figures[f"{name}_recall"] = round(recall(rows["fp32"], rows[name]), 3)
    report("language", figures)


if __name__ == "__main__":
    sys.exit(main())
