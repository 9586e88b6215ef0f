"""Other wordings of a text, behind one interface.

Three implementations, and none of them needs a network. What is called back-translation elsewhere needs two
translation models; `Refill` is the local stand-in and is named for what it does: words are hidden, and the language
model's own guesses take their place. Who has a translator implements `Augmentation` with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from models.errors import UnknownUpdate
from models.language.model import LanguageModel
from models.language.settings import AUGMENTATIONS, LanguageSettings

NEIGHBOURS = 5  # words that may stand for a word
LEAST_COSINE = 0.5  # of their embeddings; what is further away means something else
ROWS = 1024  # of the vocabulary a product
GUESSES = 5  # likeliest words that a refill draws from


class Augmentation(Protocol):
    """Say a text in other words."""

    def __call__(self, texts: Sequence[list[int]], random: np.random.Generator) -> list[list[int]]:
        """Return one other wording for each text, as tokens; never an empty one for a text that is not empty."""


class TokenDropout:
    """Leave tokens out."""

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, texts: Sequence[list[int]], random: np.random.Generator) -> list[list[int]]:
        """Return the texts with a share of their tokens missing; at least one token of each is kept."""
        found = []
        for text in texts:
            kept = [token for token, drawn in zip(text, random.random(len(text)), strict=True) if drawn >= self.share]
            found.append(kept or text[:1])
        return found


class Synonyms:
    """Replace words by near ones.

    Near is near in the model's own table of embeddings, where whole words of one meaning, and other forms of a word,
    stand together. It knows no dictionary: "cheap" may become "expensive", which is used alike.
    """

    def __init__(self, model: LanguageModel, share: float) -> None:
        self.share = share
        self.near = neighbours(model)

    def __call__(self, texts: Sequence[list[int]], random: np.random.Generator) -> list[list[int]]:
        """Return the texts with a share of their tokens replaced where these have neighbours."""
        return [[self._drawn(token, random) for token in text] for text in texts]

    def _drawn(self, token: int, random: np.random.Generator) -> int:
        if random.random() >= self.share:
            return token
        near = self.near[token][self.near[token] >= 0]
        return int(random.choice(near)) if len(near) else token


class Refill:
    """Hide tokens and let a model of the BERT family guess them: "mask and refill".

    It needs a checkpoint with a head for words; the packaged MiniLM has none, and its tied head guesses badly before
    the model was trained on. Raises UnknownUpdate for what reads forward only.
    """

    def __init__(self, model: LanguageModel, share: float) -> None:
        mask = model.notation.tokenizer.mask_token_id
        if model.causal or mask is None:
            raise UnknownUpdate("refill needs a language model that reads both ways; use dropout or synonyms")
        self.model, self.share, self.mask = model, share, int(mask)

    @torch.no_grad()
    def __call__(self, texts: Sequence[list[int]], random: np.random.Generator) -> list[list[int]]:
        """Return the texts with a share of their tokens guessed anew."""
        hidden = [[token if random.random() >= self.share else self.mask for token in text] for text in texts]
        notation, before = self.model.notation, len(self.model.notation.before)
        written = notation.padded([notation.sequence([text]) for text in hidden]).to(self.model.device)
        row, place = torch.nonzero(written.ids == self.mask, as_tuple=True)
        logits = self.model.words(self.model.states(written)[row, place])
        logits[:, list(notation.special)] = -torch.inf
        likely = logits.topk(GUESSES).indices.cpu().numpy()
        drawn = likely[np.arange(len(likely)), random.integers(GUESSES, size=len(likely))]
        for r, p, token in zip(row.tolist(), place.tolist(), drawn.tolist(), strict=True):
            if p - before < len(hidden[r]):
                hidden[r][p - before] = token
        return [[t for t in text if t != self.mask] or list(old) for text, old in zip(hidden, texts, strict=True)]


@torch.no_grad()
def neighbours(model: LanguageModel) -> np.ndarray:
    """Return the near words (V, NEIGHBOURS) int32 of each word; -1 where there are fewer.

    Only whole words of three letters or more have neighbours and are neighbours: parts of words, numbers and signs mean
    nothing by themselves.
    """
    table = torch.nn.functional.normalize(model.embeddings.weight.float().cpu(), dim=1)
    words = torch.tensor([_is_word(t) for t in model.notation.tokenizer.convert_ids_to_tokens(range(len(table)))])
    near = np.full((len(table), NEIGHBOURS), -1, dtype=np.int32)
    known = torch.nonzero(words)[:, 0]
    for rows in known.split(ROWS):
        cosine = table[rows] @ table[known].T
        cosine[rows[:, None] == known[None, :]] = -1.0
        best = cosine.topk(min(NEIGHBOURS, len(known)), dim=1)
        found = torch.where(best.values >= LEAST_COSINE, known[best.indices], -1)
        near[rows.numpy(), : found.shape[1]] = found.numpy()
    return near


def _is_word(token: str | None) -> bool:
    bare = (token or "").lstrip("Ġ▁")  # how byte-pair tokenizers write a space
    return len(bare) > 2 and bare.isalpha()


def augmentation(model: LanguageModel, settings: LanguageSettings) -> Augmentation | None:
    """Return the augmentation that the settings name, or None. Raises UnknownUpdate."""
    if settings.augmentation == "dropout":
        return TokenDropout(settings.augmented)
    if settings.augmentation == "synonyms":
        return Synonyms(model, settings.augmented)
    if settings.augmentation == "refill":
        return Refill(model, settings.augmented)
    if settings.augmentation:
        named = ", ".join(name for name in AUGMENTATIONS if name)
        raise UnknownUpdate(f"no augmentation {settings.augmentation!r}; there are {named}")
    return None
