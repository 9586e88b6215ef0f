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
    first_steps: int = 2_000  # from nothing at least: a small first window takes more epochs ...
    most_epochs: int = 20  # ... but no more than these, for it would learn them by heart
    epochs: int = 1  # from a parent: more forgets faster than it learns
    first_rate: float = 3e-3  # AdamW step from nothing
    rate: float = 3e-4  # AdamW step from a parent
    # The ten term weights are shared by all users and items: every batch tells much about them.
    term_rate: float = 5.0  # times the rate
    warmup: float = 0.1  # share of the steps in which the rate rises; it then falls to zero
    clip: float = 1.0  # largest norm of a gradient
    chunks: int = 32  # stretches of timelines in a batch at most
    # A long timeline has hundreds of events to be found, so a batch of many of them is one step for thousands.
    batch_targets: int = 256  # events to be found after which a batch is full; 0: only the stretches count
    max_targets: int = 300_000  # new events to be found, the latest ones; a bound on the time of a first version
    threads: int = 1  # on a CPU; another number adds up in another order and gives other bytes

    # What is minimised: L(new) + history_weight * L(replay).
    loss: str = "softmax"  # whole or, beyond a size, sampled; "sampled-softmax", "gbce" or "bce"
    whole_softmax_items: int = WHOLE_SOFTMAX_ITEMS  # beyond this catalogue size the softmax is sampled
    negatives: int = 512  # shared candidates of a sampled loss
    gbce_t: float = 0.75  # t of gBCE: 0 = plain binary cross-entropy, 1 = as if all items were negatives
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
    label_smoothing: float = 0.0  # share of the probability that is wanted for all items alike
    loss_clip: float = 0.0  # nats; a row that costs more teaches nothing; 0: every row teaches
    doubt: float = 0.0  # a row counts by this power of its own probability: the strange ones less; 0: all alike
    adversary: str = ""  # "fgm" or "pgd": item vectors are moved to where the loss is worst, and learned there too
    adversary_size: float = 1.0  # length of that move, all items together
    adversary_steps: int = 3  # of "pgd"
    adversary_weight: float = 0.5  # of the loss at the moved vectors
    # Epochs without gain on the last slice by time after which a fit stops; 0: no slice, no stop. A first version has
    # many epochs to learn its rows by heart in; an increment has one, and would lose its freshest events for nothing.
    first_patience: int = 2  # from nothing
    patience: int = 0  # from a parent
    validation: float = 0.1  # that slice's share of the new events; it is not learned from

    # How a step follows the gradient. The rates above are AdamW's: Adam's are the same, SGD and AdaGrad want others.
    optimiser: str = "adamw"  # "adam", "adagrad", "sgd"; "sdca" solves for the terms alone, from a parent
    momentum: float = 0.9  # of "sgd"
    accumulate: int = 1  # batches whose gradients make one step
    head_ridge: float = 1e-3  # L2 of "sdca", on the way from the parent's terms
    head_lasso: float = 0.0  # L1 of "sdca"
    head_gap: float = 1e-4  # duality gap in nats a row at which "sdca" is done
    head_epochs: int = 50  # passes over the rows after which "sdca" is done anyhow

    # How fast it goes; none of it changes what is computed, but for the order in which a compiler adds up.
    prefetch: int | None = None  # batches that a thread makes ahead; None: two on a GPU, none on a CPU
    compile: bool = False  # torch.compile of the tower; pays from minutes of training on
