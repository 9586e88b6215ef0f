"""The methods that can take part in a backtest, by name.

One table says what a method is, where it comes from, where its code lives and among which values its hyper-parameters
are chosen. A method's code is imported when the method is asked for and not before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from itertools import product
from typing import Any, TypeVar

from models.backtest.contract import Method
from models.errors import UnknownMethod

Options = Mapping[str, Any]
Values = TypeVar("Values")


@dataclass(frozen=True)
class MethodSettings:
    """Say how one run of a method is made."""

    seed: int = 0
    options: Options = field(default_factory=dict)  # hyper-parameters by name; what is not named keeps its default
    device: str = "cpu"
    threads: int = 1

    def over(self, defaults: Values) -> Values:
        """Return the dataclass `defaults` with the options written over it; raise UnknownMethod for a strange one."""
        known = {f.name: getattr(defaults, f.name) for f in fields(defaults)}  # type: ignore[arg-type]
        if strange := set(self.options) - set(known):
            raise UnknownMethod(f"no option {', '.join(sorted(strange))}; there are {', '.join(sorted(known))}")
        return type(defaults)(**(known | dict(self.options)))


Factory = Callable[[MethodSettings], Method]


@dataclass(frozen=True)
class Entry:
    """Describe a method."""

    factory: str  # "package.module:name" of a Factory
    about: str  # one line: what it does, and who described it
    kind: str  # "baseline", "sequential" or "continual"
    seeded: bool = True  # False: another seed gives the same ranks, so one run says it all
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # values that are tried for each option
    repeats_only: bool = False  # it knows nothing but what a user took before

    def combinations(self) -> list[dict[str, Any]]:
        """Return every combination of the choices; one empty one where there is nothing to choose."""
        return [dict(zip(self.choices, values, strict=True)) for values in product(*self.choices.values())]


METHODS: dict[str, Entry] = {}


def entry(name: str) -> Entry:
    """Return what the table says of a method; raise UnknownMethod."""
    if name not in METHODS:
        raise UnknownMethod(f"no method {name!r}; there are {', '.join(sorted(METHODS))}")
    return METHODS[name]


def make(name: str, settings: MethodSettings) -> Method:
    """Return a method that has learned nothing yet; raise UnknownMethod."""
    module, _, attribute = entry(name).factory.partition(":")
    factory: Factory = getattr(import_module(module), attribute)
    return factory(settings)
