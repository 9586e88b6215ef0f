"""One contract for language models: the BERT family, which reads both ways, and the GPT family, which reads forward.

A text is a list of token numbers without the ones that a tokenizer puts around it; a sequence puts texts together as
the family writes them ([CLS] a [SEP] b [SEP], or a b with the end-of-text token between). What stands alone is
exactly what models/text.py encodes, so that what is trained here is what is served there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.errors import TextWeightsError
from models.language import checkpoints
from models.text import MOST_TOKENS, is_causal, load_checkpoint, pooled

IGNORED = -100  # what cross_entropy leaves out


@dataclass(frozen=True)
class Written:
    """Hold sequences as a model reads them; all (n, T)."""

    ids: Tensor  # int64
    mask: Tensor  # int64, 1 = a token, 0 = padding
    segments: Tensor  # int64, which of two texts a token belongs to

    def to(self, device: torch.device) -> Written:
        """Return the sequences on a device."""
        return Written(self.ids.to(device), self.mask.to(device), self.segments.to(device))


class Notation:
    """Write texts as token numbers in the way of one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        whole, bare = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (True, False))
        begins = next(i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
        self.before, self.after = whole[:begins], whole[begins + len(bare) :]
        ends = tokenizer.sep_token_id, tokenizer.eos_token_id
        self.between: list[int] = [next((token for token in ends if token is not None), 0)]
        self.padding = int(tokenizer.pad_token_id or 0)
        self.special = frozenset(tokenizer.all_special_ids)

    def pieces(self, texts: Sequence[str], most: int = MOST_TOKENS) -> list[list[int]]:
        """Return the tokens of each text, cut so that an item written alone has at most `most`."""
        room = most - len(self.before) - len(self.after)
        if not texts:
            return []
        return [ids[:room] for ids in self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]]

    def sequence(self, texts: Sequence[list[int]], most: int = MOST_TOKENS) -> list[int]:
        """Put texts together, as many of the first ones as fit into `most` tokens; the last of these may be cut."""
        room = most - len(self.before) - len(self.after)
        inner: list[int] = []
        for text in texts:
            inner += [*self.between, *text] if inner else text
            if len(inner) >= room:
                break
        return [*self.before, *inner[:room], *self.after]

    def pair(self, history: Sequence[list[int]], item: list[int], most: int) -> tuple[list[int], int]:
        """Put a history and an item together; return the tokens, and how many belong to the history.

        The item is never cut for the history's sake.
        """
        head = self.sequence(history, most - len(item) - len(self.between))
        head = head[: len(head) - len(self.after)] + self.between
        return [*head, *item, *self.after], len(head)

    def padded(self, sequences: Sequence[list[int]], heads: Sequence[int] | None = None) -> Written:
        """Lay sequences side by side; with `heads`, what follows so many tokens is the second segment."""
        longest = max(1, *(len(s) for s in sequences))
        ids = torch.full((len(sequences), longest), self.padding, dtype=torch.int64)
        mask, segments = torch.zeros_like(ids), torch.zeros_like(ids)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence)] = torch.tensor(sequence, dtype=torch.int64)
            mask[row, : max(1, len(sequence))] = 1  # a row without any token is read as one of padding
            if heads is not None:
                segments[row, heads[row] : len(sequence)] = 1
        return Written(ids, mask, segments)


class Guess(nn.Module):
    """Guess words by a head that is tied to the embeddings, for a checkpoint that came without one.

    It begins as the identity and learns beside the adapter, so that the adapter need not learn to speak. It is thrown
    away.
    """

    def __init__(self, embeddings: nn.Embedding) -> None:
        super().__init__()
        width = embeddings.embedding_dim
        self.transform = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.bias = nn.Parameter(torch.zeros(embeddings.num_embeddings))
        nn.init.eye_(self.transform.weight)
        nn.init.zeros_(self.transform.bias)

    def forward(self, states: Tensor, embeddings: Tensor) -> Tensor:
        """Map states (n, E) to logits (n, V)."""
        return self.norm(self.transform(states)) @ embeddings.T + self.bias


class LanguageModel:
    """A transformers model that can be read from and trained."""

    def __init__(self, tokenizer: Any, whole: Any, identity: str) -> None:
        self.notation = Notation(tokenizer)
        self.whole = whole  # with its own head for words, where the checkpoint has one
        self.body = body_of(whole)
        self.identity = identity  # of the checkpoint, without any adapter
        self.causal = is_causal(self.body.config)
        self.guess = None if whole is not self.body else Guess(self.embeddings)

    @property
    def device(self) -> torch.device:
        """Return where the weights are."""
        return self.embeddings.weight.device

    @property
    def embeddings(self) -> nn.Embedding:
        """Return the table (V, E) of the vocabulary."""
        return self.body.get_input_embeddings()

    @property
    def dimensions(self) -> int:
        """Return E, the width of a state."""
        return int(self.body.config.hidden_size)

    def to(self, device: torch.device | str) -> LanguageModel:
        """Move the weights."""
        self.whole.to(device)
        if self.guess is not None:
            self.guess.to(device)
        return self

    def states(self, written: Written) -> Tensor:
        """Return the state (n, T, E) float32 of every token."""
        known = {"input_ids": written.ids, "attention_mask": written.mask}
        if getattr(self.body.config, "type_vocab_size", 0) > 1:
            known["token_type_ids"] = written.segments
        return self.body(**known).last_hidden_state.float()

    def read(self, written: Written) -> Tensor:
        """Return one vector (n, E) a sequence, pooled as the family does it."""
        return pooled(self.states(written), written.mask, self.causal)

    def embed(self, written: Written) -> Tensor:
        """Return one vector (n, E) of length one a sequence."""
        return nn.functional.normalize(self.read(written), dim=1)

    def words(self, states: Tensor) -> Tensor:
        """Return the logits (n, V) of the word that a state (n, E) stands for, or before."""
        if self.guess is not None:
            return self.guess(states, self.embeddings.weight)
        return word_head(self.whole)(states)


def open_model(named: str | Path, device: str | torch.device = "cpu") -> LanguageModel:
    """Return the language model named by a folder or by what this machine has of it. Raises TextWeightsError."""
    path = checkpoints.folder(named)
    tokenizer, whole = load_checkpoint(path, str(device), with_head=True)
    return LanguageModel(tokenizer, whole, f"{checkpoints.named(path)}@{checkpoints.digest(path)[:12]}")


def body_of(whole: Any) -> Any:
    """Return the transformer without its head."""
    return getattr(whole, whole.base_model_prefix, whole) if whole.base_model_prefix else whole


def word_head(whole: Any) -> nn.Module:
    """Return what makes logits of states: the last layer of the GPT family, or the BERT family's transform and it.

    Raises TextWeightsError where an architecture keeps it somewhere else.
    """
    for name in ("cls", "lm_head", "vocab_projector", "embed_out"):
        if hasattr(whole, name):
            return getattr(whole, name)
    raise TextWeightsError(f"{type(whole).__name__} keeps its head for words where it is not found; use a body alone")


def blocks(body: nn.Module) -> nn.ModuleList:
    """Return the transformer's blocks: the longest list of modules. Raises TextWeightsError where there is none."""
    lists = [module for module in body.modules() if isinstance(module, nn.ModuleList)]
    if not lists:
        raise TextWeightsError(f"{type(body).__name__} has no blocks to adapt; use a transformer")
    return max(lists, key=len)
