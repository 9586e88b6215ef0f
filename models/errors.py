"""What can go wrong in models, as one tree.

ModelError
├── TimelineError       a timeline whose arrays do not fit together
├── UnknownItem         an index beyond the model's catalogue
├── CatalogueShrank     a catalogue that does not continue the old one
├── UnknownMethod       a method, or an option of one, that the backtest does not have
├── UnknownChoice       a setting that names a loss, an optimiser or an adversary that does not exist
├── NoScore             a method that ranks by something that is no number
├── TextWeightsError    language-model weights that are missing or not the expected ones
├── UnknownUpdate       a way of training a language model that does not exist, or not for this one
└── CheckpointError     bytes that are no model of ours
    ├── WrongFormat     no safetensors, or a format number this code does not read
    ├── WrongShape      tensors that do not fit the described architecture
    └── WrongHash       bytes that are not the ones that were named
"""

from collections.abc import Iterable


class ModelError(Exception):
    """Root of everything that models raises on purpose."""


class TimelineError(ModelError):
    """A timeline whose arrays do not fit together."""


class UnknownItem(ModelError):
    """An index beyond the model's catalogue."""


class CatalogueShrank(ModelError):
    """A catalogue that does not continue the one the model knows."""


class UnknownMethod(ModelError):
    """A method, or an option of one, that the backtest does not have."""


class UnknownChoice(ModelError):
    """A setting that names a loss, an optimiser or an adversary that does not exist."""

    @classmethod
    def of(cls, setting: str, named: str, known: Iterable[str]) -> "UnknownChoice":
        """Say which names a setting may have."""
        return cls(f"{setting} {named!r} does not exist; there are {', '.join(sorted(known))}")


class NoScore(ModelError):
    """A method that ranks by something that is no number."""


class TextWeightsError(ModelError):
    """Language-model weights that are missing or not the expected ones."""


class UnknownUpdate(ModelError):
    """A way of training a language model that does not exist, or not for this one."""


class CheckpointError(ModelError):
    """Bytes that are no model of ours."""


class WrongFormat(CheckpointError):
    """No safetensors, or a format number that this code does not read."""


class WrongShape(CheckpointError):
    """Tensors that do not fit the architecture that stands beside them."""


class WrongHash(CheckpointError):
    """Bytes that are not the ones that were named."""
