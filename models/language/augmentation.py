"""Other wordings of a text, behind one interface.

Three implementations, and none of them needs a network. What is called back-translation elsewhere needs two
translation models; `Refill` is the local stand-in and is named for what it does: words are hidden, and the language
model's own guesses take their place. Who has a translator implements `Augmentation` with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import torch

from models.errors import UnknownUpdate
from models.language.model import LanguageModel
from models.language.pairs import Pairs, Texts
from models.language.settings import AUGMENTATIONS, LanguageSettings

NEIGHBOURS = 5  # words that may stand for a word
LEAST_COSINE = 0.5  # of their embeddings; what is further away means something else
ROWS = 256  # words that are compared with the whole vocabulary at a time
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

    Near is near in the model's own table of embeddings, where words that are used alike, and other forms of a word,
    stand together. It knows no dictionary: "cheap" may become "expensive".
    """

    def __init__(self, model: LanguageModel, share: float) -> None:
        self.share = share
        self.vocabulary = Vocabulary(model)

    def __call__(self, texts: Sequence[list[int]], random: np.random.Generator) -> list[list[int]]:
        """Return the texts with a share of their tokens replaced where these have neighbours."""
        near = self.vocabulary.near({token for text in texts for token in text})
        return [[self._drawn(token, near[token], random) for token in text] for text in texts]

    def _drawn(self, token: int, near: np.ndarray, random: np.random.Generator) -> int:
        use = random.random() < self.share
        return int(random.choice(near)) if use and len(near) else token


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


class Vocabulary:
    """The near words of a model's words.

    Only whole words of three letters or more have neighbours and are neighbours: parts of words, numbers and signs mean
    nothing by themselves.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.table = torch.nn.functional.normalize(model.embeddings.weight.detach().float().cpu(), dim=1)
        tokens = model.notation.tokenizer.convert_ids_to_tokens(range(len(self.table)))
        self.words = torch.tensor([i for i, token in enumerate(tokens) if _is_word(token)])
        self.known: dict[int, np.ndarray] = {}

    def near(self, tokens: Iterable[int]) -> dict[int, np.ndarray]:
        """Return up to NEIGHBOURS near words of each token, the nearest first; what was asked once is remembered."""
        new = [token for token in sorted(tokens) if token not in self.known]
        for begin in range(0, len(new), ROWS):
            rows = torch.tensor(new[begin : begin + ROWS])
            cosine = self.table[rows] @ self.table[self.words].T
            cosine[rows[:, None] == self.words[None, :]] = -1.0
            best = cosine.topk(min(NEIGHBOURS, len(self.words)), dim=1)
            usable = (best.values >= LEAST_COSINE) & torch.isin(rows, self.words)[:, None]
            for token, words, good in zip(rows.tolist(), self.words[best.indices], usable, strict=True):
                self.known[token] = words[good].numpy()
        return self.known


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


def reworded(texts: Texts, examples: Pairs, other: Augmentation, random: np.random.Generator) -> Texts:
    """Return the texts, those that the examples name in other words."""
    pieces = list(texts.pieces)
    named = np.unique(np.concatenate([examples.item, *examples.histories]))
    numbers = [i for i in named.tolist() if pieces[i]]
    for number, text in zip(numbers, other([pieces[i] for i in numbers], random), strict=True):
        pieces[number] = text
    return Texts(texts.notation, pieces)
