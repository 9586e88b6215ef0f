"""How a language model learns on, as one flat value that travels as JSON."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("frozen", "full", "lora", "adalora", "bottleneck")
OBJECTIVES = ("contrastive", "pretrain")
AUGMENTATIONS = ("", "dropout", "synonyms", "refill")


@dataclass(frozen=True)
class LanguageSettings:
    """Say what of a language model is trained, on what, and how; the rate is an adapter's, full training wants less."""

    # What is trained.
    kind: str = "lora"  # one of KINDS
    rank: int = 8  # of LoRA; AdaLoRA begins with twice as much and ends here on average
    alpha: float = 16.0  # a LoRA's contribution is scaled by alpha / rank
    width: int = 32  # of a bottleneck
    dropout: float = 0.0  # of what goes into an adapter
    targets: tuple[str, ...] = ()  # ends of the names of linear layers; empty: all linear layers of all blocks

    # What is minimised.
    objective: str = "contrastive"  # one of OBJECTIVES
    temperature: float = 0.05  # cosines are divided by it
    log_q: bool = True  # correct in-batch negatives for how often they are drawn
    masked: float = 0.15  # share of the tokens that a BERT has to guess
    proximity: float = 1.0  # strength of the KL term that keeps an evolving adapter near its predecessor
    history: int = 10  # items of a history, the latest first
    most_tokens: int = 128  # of a history; an item has at most models.text.MOST_TOKENS
    augmentation: str = ""  # one of AUGMENTATIONS
    augmented: float = 0.1  # share of the tokens that an augmentation touches

    # How far a step goes.
    epochs: int = 1
    batch: int = 32  # examples, and so negatives, of a forward pass
    accumulate: int = 1  # batches whose gradients make one step
    most_examples: int = 20_000  # the latest ones; a bound on the time of an update
    rate: float = 2e-4  # AdamW
    weight_decay: float = 0.01
    warmup: float = 0.1  # share of the steps in which the rate rises; it then falls to zero
    clip: float = 1.0  # largest norm of a gradient
    threads: int = 1  # on a CPU; another number adds up in another order and gives other bytes

    # How fast it goes.
    precision: str = "fp32"  # "bf16": autocast; weights that are trained and their gradients stay fp32
    checkpointing: bool = False  # compute activations twice and keep few of them
    bucketing: bool = True  # batches of similar length; little is padded
    fused: bool | None = None  # AdamW as one kernel; None: on a GPU
    compile: bool = False  # torch.compile of the blocks; pays from minutes of training on
