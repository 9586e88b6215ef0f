"""How a head is made and learns, as one flat value."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RankingSettings:
    """Say how a head is made and learns. It travels as JSON, so what is added gets a default that changes nothing."""

    # What it is made of. The first version's values stay; an increment does not change a head's shape.
    hidden: int = 0  # units of the layer that tasks share; 0: a linear head, which SQL can evaluate
    vectors: bool = True  # read user vector, item vector and their product, beside the numbers

    # What it learns from.
    most_targets: int = 10_000  # taken items, the latest ones
    uniform: int = 4  # items drawn from the whole catalogue for each that was taken
    hard: int = 4  # items drawn from the recommender's best
    best: int = 100  # how many those are

    # How it learns.
    first_epochs: int = 8
    epochs: int = 3
    first_rate: float = 3e-3
    rate: float = 1e-3
    rows: int = 512  # of a step
    optimiser: str = "adamw"  # "adam", "adagrad", "sgd"; "sdca" solves a linear head, task by task
    ridge: float = 1e-3  # squared distance from the parent's weights (from zero, at first) costs half of this
    gap: float = 1e-3  # duality gap in nats a row at which "sdca" is done
    passes: int = 10  # over the rows after which "sdca" is done anyhow

    # What its tasks weigh.
    weighing: str = "even"  # "learned": by each task's uncertainty
    value: float = 0.1  # weight of the rating's value
    sentiment: float = 0.0  # weight of whether a rating is above the mean; helps only what shares a hidden layer
    category: float = 0.0  # weight of the item's category; the same

    # What its probabilities mean.
    calibration: str = "platt"  # "isotonic", "temperature", "none"
    held: float = 0.25  # share of the taken items, the latest, by which it is calibrated; it does not learn from them
