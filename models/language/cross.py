"""The cross-encoder: `history [SEP] item` goes through the language model, p(interaction) comes out.

The classic text formulation (Nogueira and Cho 2019, "Passage Re-ranking with BERT"): history and item read each other
in every layer, which no pair of vectors can do, and each pair costs a pass. So it reranks the few items at the top of
something cheap.

It learns by telling what was taken from what was drawn. An item drawn with probability q_i, k of them a taken one,
makes the odds of a taken item p(i | history) / (k q_i); the loss therefore reads s - ln(k q_i N), and s itself is the
logit of "taken, rather than one item drawn uniformly": the same number for a popular negative and a rare one, ready
to be ranked by and to be called a probability.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from models.checkpoint import weights_hash
from models.errors import TimelineError, WrongShape
from models.evaluation import Scorer
from models.histories import Queries, spans
from models.language import adapters
from models.language.augmentation import augmentation, reworded
from models.language.model import LanguageModel
from models.language.pairs import Pairs, Texts, histories
from models.language.settings import LanguageSettings
from models.language.update import Heard, Update, descend, near, planned, precision, prepared
from models.training import repeatable

READ = 64  # pairs of similar length a forward pass


@dataclass(frozen=True)
class CrossSettings(LanguageSettings):
    """Say how a cross-encoder learns. Pairs are long, so fewer of them are read than of texts."""

    history: int = 5
    most_tokens: int = 96  # of history and item together
    most_examples: int = 2_000  # taken items; `negatives` times as many are drawn
    negatives: int = 3
    popular: float = 0.5  # share of the negatives that are drawn by how often they were taken, the others uniformly


class CrossEncoder:
    """A language model with one number at its end."""

    def __init__(self, model: LanguageModel, settings: CrossSettings) -> None:
        self.model, self.settings = model, settings
        self.head = nn.Linear(model.dimensions, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def read(self, texts: Texts, pairs: Pairs) -> Tensor:
        """Return the logits (n,) of pairs, in one pass."""
        both = [
            texts.pair(history, item, self.settings.most_tokens)
            for history, item in zip(pairs.histories, pairs.item, strict=True)
        ]
        written = self.model.notation.padded([s for s, _ in both], [head for _, head in both]).to(self.model.device)
        return self.head(self.model.read(written))[:, 0].float()

    @torch.inference_mode()
    def logits(self, texts: Texts, pairs: Pairs) -> np.ndarray:
        """Return the logits (n,) float32 of any number of pairs; those of a pass are about equally long."""
        found = np.zeros(len(pairs), dtype=np.float32)
        order = np.argsort(lengths(texts, pairs, self.settings), kind="stable")
        for begin in range(0, len(order), READ):
            chosen = order[begin : begin + READ]
            with precision(self.settings, self.model.device):
                found[chosen] = self.read(texts, pairs[chosen]).cpu().numpy()
        return found


class Taken:
    """Tell items that were taken from items that were drawn."""

    def __init__(
        self, cross: CrossEncoder, texts: Texts, examples: Pairs, alive: np.ndarray, settings: CrossSettings
    ) -> None:
        self.cross, self.texts, self.examples, self.alive, self.settings = cross, texts, examples, alive, settings
        self.other = augmentation(cross.model, settings)
        counts = np.bincount(examples.item, minlength=len(texts)).astype(np.float64)
        self.popularity = counts / counts.sum()
        self.lengths = lengths(texts, examples, settings)

    def parameters(self) -> list[nn.Parameter]:
        """Return the head."""
        return list(self.cross.head.parameters())

    def loss(self, chosen: np.ndarray, random: np.random.Generator) -> Tensor:
        """Return the binary cross-entropy of the taken items and as many times `negatives` drawn ones."""
        taken = self.examples[chosen]
        drawn = self._drawn(chosen, random)
        item = np.concatenate([taken.item, drawn.T.ravel()])
        pairs = Pairs(taken.histories * (1 + self.settings.negatives), item)
        texts = self.texts if self.other is None else reworded(self.texts, pairs, self.other, random)
        logits = self.cross.read(texts, pairs)
        offset = torch.from_numpy(self._offset(item, np.tile(self.alive[chosen], 1 + self.settings.negatives)))
        wanted = (torch.arange(len(item)) < len(chosen)).float().to(logits.device)
        # What the draw makes of the odds is no part of the answer.
        return nn.functional.binary_cross_entropy_with_logits(logits - offset.to(logits.device), wanted)

    def _drawn(self, chosen: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Return items (n, negatives) for the chosen examples; one that was taken just then is drawn again, once."""
        drawn = self._draw(np.repeat(chosen, self.settings.negatives), random)
        again = drawn == np.repeat(self.examples.item[chosen], self.settings.negatives)
        drawn[again] = self._draw(np.repeat(chosen, self.settings.negatives)[again], random)
        return drawn.reshape(len(chosen), -1)

    def _draw(self, examples: np.ndarray, random: np.random.Generator) -> np.ndarray:
        alive = self.alive[examples]
        uniform = random.integers(alive)
        popular = random.choice(len(self.popularity), size=len(examples), p=self.popularity)
        use = (random.random(len(examples)) < self.settings.popular) & (popular < alive)
        return np.where(use, popular, uniform)

    def _offset(self, item: np.ndarray, alive: np.ndarray) -> np.ndarray:
        """Return ln(k q N) (n,) float32: the odds that the draw alone gives, against one uniform item."""
        times = self.settings.popular * self.popularity[item] * alive + (1 - self.settings.popular)
        return np.log(self.settings.negatives * times).astype(np.float32)


def lengths(texts: Texts, pairs: Pairs, settings: LanguageSettings) -> np.ndarray:
    """Return about how many tokens (n,) each pair has."""
    sizes = np.array([len(piece) + 1 for piece in texts.pieces], dtype=np.int64)
    return np.array(
        [
            min(int(sizes[history].sum() + sizes[item]), settings.most_tokens)
            for history, item in zip(pairs.histories, pairs.item, strict=True)
        ],
        dtype=np.int64,
    )


def learn(
    model: LanguageModel,
    texts: Sequence[str],
    examples: Pairs,
    settings: CrossSettings | None = None,
    predecessor: bytes | None = None,
    alive: np.ndarray | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    heard: Heard | None = None,
) -> Update:
    """Train a cross-encoder on examples over `texts`, from `predecessor` on where one is given; the model is used up.

    `alive` (n,) says how many of the first items could be drawn at each example's moment; without it, all of them. A
    frozen model trains the head alone. Raises TimelineError without examples, and what `update` raises.
    """
    settings, device = settings or CrossSettings(), torch.device(device)
    if not len(examples):
        raise TimelineError("nothing to learn: no event has a history")
    with repeatable(seed, device, settings.threads):
        cross = CrossEncoder(model.to(device), settings)
        known = np.full(len(examples), len(texts)) if alive is None else alive
        objective = Taken(cross, Texts.of(model.notation, texts), examples, known, settings)
        plan = planned(objective, settings, seed)
        adapter = prepared(model, settings, plan.steps, predecessor)
        if predecessor is not None:
            _fill_head(cross, predecessor)
        cross.head.to(device)
        report = descend(model, adapter, objective, plan, settings, near(adapter, settings, predecessor, device), heard)
    parent = None if predecessor is None else weights_hash(predecessor)
    return Update(adapters.dump(adapter, settings, model.identity, parent, cross.head.state_dict()), report)


def load(
    model: LanguageModel, data: bytes, settings: CrossSettings, device: str | torch.device = "cpu"
) -> CrossEncoder:
    """Return the cross-encoder that `learn` made of the model. Raises WrongFormat, WrongShape."""
    model.body = adapters.merged(model.body, data, model.identity)
    cross = CrossEncoder(model.to(device), settings)
    _fill_head(cross, data)
    cross.head.to(device).requires_grad_(False)
    return cross


def _fill_head(cross: CrossEncoder, data: bytes) -> None:
    head = adapters.head_of(data)
    if set(head) != {"weight", "bias"}:
        raise WrongShape("these bytes hold an adapter without the head of a cross-encoder; give what `learn` returned")
    cross.head.load_state_dict(head)


class Reranker:
    """Put what a cross-encoder thinks of the first candidates of another scorer on top of that one's scores.

    A candidate is ordered by its logit minus `blend` times the logarithm of its rank: under Zipf's law, that is what
    the first scorer's order says of the odds. Every other item keeps its place below.
    """

    def __init__(
        self,
        first: Scorer,
        cross: CrossEncoder,
        texts: Texts,
        candidates: int = 20,
        blend: float = 1.0,
        repeats: bool = True,
    ) -> None:
        self.first, self.cross, self.texts = first, cross, texts
        self.candidates, self.blend, self.repeats = candidates, blend, repeats

    def __len__(self) -> int:
        return len(self.first)

    def scores(self, queries: Queries) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (which queries (q,), their scores (q, N)) until every query had its turn."""
        for chosen, raw in self.first.scores(queries):
            yield chosen, self.reranked(queries[chosen], raw)

    def reranked(self, queries: Queries, raw: np.ndarray) -> np.ndarray:
        """Return scores (q, N) of which the best belong to the candidates."""
        best = self._best(queries, raw)  # (q, k), the first scorer's order
        k = best.shape[1]
        before = histories(queries, self.cross.settings.history)
        pairs = Pairs(tuple(h for h in before for _ in range(k)), best.ravel().astype(np.int64))
        logits = self.cross.logits(self.texts, pairs).reshape(len(queries), k)
        logits -= self.blend * np.log(np.arange(1, k + 1, dtype=np.float32))
        scores = raw - raw.max(axis=1, keepdims=True)  # at most zero
        np.put_along_axis(scores, best, 1.0 + logits - logits.min(axis=1, keepdims=True), axis=1)
        return scores

    def _best(self, queries: Queries, raw: np.ndarray) -> np.ndarray:
        """Return the candidates (q, k), best first; none that the user took where nothing is taken twice."""
        scores = raw if self.repeats else raw.copy()
        if not self.repeats:
            row, event = spans(queries.first, queries.start)
            scores[row, queries.histories.items[event]] = -np.inf
        k = min(self.candidates, scores.shape[1])
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        order = np.lexsort((best, -np.take_along_axis(scores, best, axis=1)), axis=1)
        return np.take_along_axis(best, order, axis=1)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Return p(interaction) (n,) of logits (n,)."""
    return 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))


def asked(queries: Queries, item: np.ndarray, settings: LanguageSettings) -> Pairs:
    """Return the pair of each query's history and its item (Q,)."""
    return Pairs(histories(queries, settings.history), item.astype(np.int64))
