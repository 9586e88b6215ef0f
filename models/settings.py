"""How an increment learns, as one flat value.

It is flat because it travels as JSON: a stream's settings are some of these fields, a version's manifest holds all of
them. What is added here gets a default that changes nothing, so that old rows and old manifests keep their meaning.
"""

from dataclasses import dataclass

# Up to this catalogue size the whole softmax costs less than the care that sampling needs.
WHOLE_SOFTMAX_ITEMS = 20_000


@dataclass(frozen=True)
class FitSettings:
    """Say how an increment learns. Each default has its reason; none was chosen for one data set."""

    # How long, and how far a step goes.
    first_epochs: int = 2  # from nothing; more targets teach better than more epochs of fewer
    first_steps: int = 200  # from nothing at least: a small first window takes more epochs ...
    most_epochs: int = 20  # ... but no more than these, for it would learn them by heart
    epochs: int = 2  # from a parent: more forgets faster than it learns
    first_rate: float = 3e-3  # AdamW step from nothing
    rate: float = 1e-3  # AdamW step from a parent
    # The ten term weights are shared by all users and items: every batch tells much about them.
    term_rate: float = 5.0  # times the rate
    warmup: float = 0.1  # share of the steps in which the rate rises; it then falls to zero
    clip: float = 1.0  # largest norm of a gradient
    chunks: int = 32  # stretches of timelines in a batch
    max_targets: int = 300_000  # new events to be found, the latest ones; a bound on the time of a first version
    threads: int = 1  # on a CPU; another number adds up in another order and gives other bytes

    # What is minimised: L(new) + history_weight * L(replay).
    whole_softmax_items: int = WHOLE_SOFTMAX_ITEMS  # beyond this catalogue size the softmax is sampled
    negatives: int = 512  # shared candidates of a sampled loss
    history_weight: float = 1.0  # of a replayed row; 0: the replay is for the parent's terms below alone

    # What keeps an increment near its parent; none of it when a model learns for the first time.
    distil_new: float = 0.0  # weight of the parent's answers on new rows ("learning without forgetting")
    distil_replay: float = 0.0  # weight of the parent's answers on replayed rows
    distil_adaptive: bool = False  # ... as ADER weighs them: less, the more there is that is new
    temperature: float = 1.0  # of both softmaxes that distillation compares
    ewc: float = 0.0  # strength of elastic weight consolidation
    fisher_chunks: int = 128  # stretches of timelines that its Fisher information is estimated from
    anchor: float = 0.0  # strength of the squared distance to the parent
    interpolate: float = 0.0  # the parent's share of the weights that come out
    dropout: float | None = None  # share of the activations that is dropped; None: the architecture's own

    # Against learning by heart, from the first version on.
    weight_decay: float = 0.01  # on matrices only
    ema: float = 0.0  # share of the averaged weights that a step keeps; 0 = no averaging
