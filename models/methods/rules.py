"""The rules that settings ask for."""

from collections.abc import Iterator

import numpy as np

from models.methods.anchors import Anchor, Interpolation
from models.methods.consolidation import Consolidation
from models.methods.contract import Lesson, Rule
from models.methods.distillation import Distillation
from models.methods.parent import Parent
from models.recommender import Recommender
from models.settings import FitSettings


def rules(model: Recommender, settings: FitSettings, generator: np.random.Generator) -> list[Rule]:
    """Return the rules of an increment on `model`, which is its own parent still; none for a first version."""
    asked = (settings.distil_new, settings.distil_replay, settings.ewc, settings.anchor, settings.interpolate)
    if model.increments == 0 or not any(asked):
        return []
    return list(_asked(Parent(model), settings, generator))


def taught(lesson: Lesson, settings: FitSettings, increments: int) -> Lesson:
    """Return the lesson without the replayed rows where no step of an increment needs them."""
    if settings.history_weight > 0 or (settings.distil_replay > 0 and increments):
        return lesson
    return Lesson(lesson.new, np.ones(len(lesson.new), dtype=bool))


def _asked(parent: Parent, settings: FitSettings, generator: np.random.Generator) -> Iterator[Rule]:
    if settings.distil_new or settings.distil_replay:
        yield Distillation(
            parent, settings.distil_new, settings.distil_replay, settings.distil_adaptive, settings.temperature
        )
    if settings.ewc:
        yield Consolidation(parent, settings.ewc, settings.fisher_chunks, generator)
    if settings.anchor:
        yield Anchor(parent, settings.anchor)
    if settings.interpolate:
        yield Interpolation(parent, settings.interpolate)
