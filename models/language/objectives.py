"""What an update minimises: each objective has examples of known lengths, and a loss of some of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models.language.augmentation import augmentation, reworded
from models.language.model import IGNORED, LanguageModel, Written
from models.language.pairs import Pairs, Texts
from models.language.settings import LanguageSettings

# Of the tokens that a BERT has to guess: hidden, replaced by any word, left as they are (Devlin et al. 2019).
HIDDEN, REPLACED = 0.8, 0.1
# A token that is guessed in every text at least, or short texts would teach nothing.
LEAST_GUESSED = 1
POOL = 16  # batches whose examples are sorted by length together


class Objective(Protocol):
    """Say what some examples cost."""

    lengths: np.ndarray  # (n,) int64, tokens of each example, for batches that pad little

    def loss(self, chosen: np.ndarray, random: np.random.Generator) -> Tensor:
        """Return the mean loss of the chosen examples, in nats."""

    def parameters(self) -> list[nn.Parameter]:
        """Return what is trained besides the adapter, and thrown away or kept by whoever made the objective."""


class Contrast:
    """Find the item that was taken among those of the batch, from the history's text.

    InfoNCE (van den Oord et al. 2018) over cosines divided by a temperature. In-batch negatives are drawn by
    popularity; without a correction the popular ones would be pushed away, so each logit is lowered by ln q of its
    item, q being the item's share of the examples (Yi et al. 2019). Items that the history or the batch's other rows
    have in common with the target are no negatives.
    """

    def __init__(self, model: LanguageModel, texts: Texts, pairs: Pairs, settings: LanguageSettings) -> None:
        self.model, self.texts, self.pairs, self.settings = model, texts, pairs, settings
        self.reworded = augmentation(model, settings)
        counts = np.bincount(pairs.item, minlength=len(texts))
        self.log_q = np.log(np.maximum(counts, 1) / max(1, len(pairs))).astype(np.float32)
        sizes = np.array([len(p) + 1 for p in texts.pieces])
        self.lengths = np.array([min(sizes[h].sum(), settings.most_tokens) for h in pairs.histories], dtype=np.int64)

    def parameters(self) -> list[nn.Parameter]:
        """Return nothing: the vectors are the model's own."""
        return []

    def loss(self, chosen: np.ndarray, random: np.random.Generator) -> Tensor:
        """Return the cross-entropy of the taken item among the batch's different items."""
        some = self.pairs[chosen]
        texts = self.texts if self.reworded is None else reworded(self.texts, some, self.reworded, random)
        items, place = np.unique(some.item, return_inverse=True)
        users = self.model.embed(self._written([texts.history(h, self.settings.most_tokens) for h in some.histories]))
        vectors = self.model.embed(self._written([texts.item(i) for i in items]))
        logits = users @ vectors.T / self.settings.temperature
        if self.settings.log_q:
            logits = logits - torch.from_numpy(self.log_q[items]).to(logits.device)
        logits = logits.masked_fill(self._taken(some, items, place).to(logits.device), -torch.inf)
        return nn.functional.cross_entropy(logits, torch.from_numpy(place).to(logits.device))

    def _taken(self, some: Pairs, items: np.ndarray, place: np.ndarray) -> Tensor:
        """Tell (n, m) which items are no negatives, because the user has them."""
        had = np.stack([np.isin(items, history) for history in some.histories])
        had[np.arange(len(place)), place] = False
        return torch.from_numpy(had)

    def _written(self, sequences: list[list[int]]) -> Written:
        return self.model.notation.padded(sequences).to(self.model.device)


class Words:
    """Learn the catalogue's language: guess hidden words, or the next word where a model reads forward.

    Continued pre-training on the domain's own text (Gururangan et al. 2020, "Don't Stop Pretraining").
    """

    def __init__(self, model: LanguageModel, texts: Texts, settings: LanguageSettings) -> None:
        self.model, self.settings = model, settings
        self.sequences = [texts.item(i) for i in range(len(texts)) if len(texts.pieces[i]) > 1]
        self.lengths = np.array([len(s) for s in self.sequences], dtype=np.int64)

    def parameters(self) -> list[nn.Parameter]:
        """Return the head for words where the checkpoint has none; it is thrown away afterwards."""
        return [] if self.model.guess is None else list(self.model.guess.parameters())

    def loss(self, chosen: np.ndarray, random: np.random.Generator) -> Tensor:
        """Return the cross-entropy of the guessed words."""
        written = self.model.notation.padded([self.sequences[i] for i in chosen])
        wanted = self._next(written) if self.model.causal else self._hidden(written, random)
        states = self.model.states(written.to(self.model.device))
        asked = wanted != IGNORED
        return nn.functional.cross_entropy(
            self.model.words(states[asked.to(states.device)]).float(), wanted[asked].to(states.device)
        )

    def _next(self, written: Written) -> Tensor:
        """Return the word (n, T) after each, IGNORED where there is none."""
        wanted = torch.full_like(written.ids, IGNORED)
        wanted[:, :-1] = torch.where(written.mask[:, 1:] == 1, written.ids[:, 1:], IGNORED)
        return wanted

    def _hidden(self, written: Written, random: np.random.Generator) -> Tensor:
        """Hide words of `written`, in place; return them (n, T), IGNORED elsewhere."""
        notation, ids = self.model.notation, written.ids.numpy()
        usual = (written.mask.numpy() == 1) & ~np.isin(ids, list(notation.special))
        order = np.where(usual, random.random(ids.shape), 2.0).argsort(axis=1).argsort(axis=1)
        many = np.maximum(LEAST_GUESSED, np.rint(usual.sum(axis=1) * self.settings.masked))
        guessed = (order < many[:, None]) & usual
        wanted = np.where(guessed, ids, IGNORED)
        kind = random.random(ids.shape)
        ids[guessed & (kind < HIDDEN)] = notation.tokenizer.mask_token_id
        other = guessed & (kind >= HIDDEN) & (kind < HIDDEN + REPLACED)
        ids[other] = random.integers(self.model.embeddings.num_embeddings, size=int(other.sum()))
        return torch.from_numpy(wanted)


def bucketed(
    lengths: np.ndarray, batch: int, random: np.random.Generator, by_length: bool = True
) -> Sequence[np.ndarray]:
    """Return the examples in batches, in random order; `by_length`: those of a batch are about equally long.

    Only within pools of POOL batches that are drawn anew, and after a little noise: what shares a batch is each other's
    negative, and a contrast among texts of one length would teach lengths.
    """
    order = random.permutation(len(lengths))
    if by_length:
        noisy = lengths[order] * random.uniform(0.9, 1.1, size=len(order))
        pool = np.arange(len(order)) // (POOL * batch)
        order = order[np.lexsort((noisy, pool))]
    parts = [order[i : i + batch] for i in range(0, len(order), batch)]
    return [parts[i] for i in random.permutation(len(parts))]
