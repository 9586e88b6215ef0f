"""A head as JSON, and each feature's share in an answer.

A linear head is numbers that SQL can multiply: f of a task is `retrieval + bias + sum(weights * standardised numbers)
+ user . u + item . v + match . (u * v)`, its probability the logistic of what the task's calibration makes of it.
"""

from typing import Any

import numpy as np
import torch

from models.ranking.examples import TASKS
from models.ranking.features import LOGGED, NUMBERS, Inputs
from models.ranking.head import FURTHEST, LEAST_SCALE, Head

SCORING_FORMAT = 1
BLOCKS = ("user", "item", "match")  # of the vectors, in the order in which they are read


def scoring(head: Head) -> dict[str, Any] | None:
    """Return the weights of every learned task, ready for JSON; None where a hidden layer stands between."""
    if head.shape.hidden:
        return None
    fitted = (head.scale >= LEAST_SCALE).tolist()
    return {
        "format": SCORING_FORMAT,
        "numbers": list(NUMBERS),
        "logged": list(NUMBERS[LOGGED]),  # ln(1 + x) comes first
        "mean": head.mean.tolist(),
        "scale": [scale if known else None for scale, known in zip(head.scale.tolist(), fitted, strict=True)],
        "furthest": FURTHEST,
        "tasks": {task: _task(head, k) for k, task in enumerate(TASKS) if int(head.learned[k])},
    }


def _task(head: Head, k: int) -> dict[str, Any]:
    weights, d, calibration = head.wide[k].tolist(), head.shape.dimensions, head.calibrations[k]
    vectors = weights[len(NUMBERS) :]
    return {
        "bias": head.bias[k].item(),
        "weights": weights[: len(NUMBERS)],
        **{name: vectors[n * d : (n + 1) * d] for n, name in enumerate(BLOCKS) if vectors},
        "calibration": {
            "slope": calibration.slope,
            "shift": calibration.shift,
            "knots": calibration.knots.tolist(),
            "values": calibration.values.tolist(),
        },
    }


def shares(head: Head, given: Inputs, task: str = "taken") -> dict[str, np.ndarray]:
    """Return each feature's share (P,) in one task's f: gradient times input (Shrikumar et al. 2016).

    A vector's numbers are added up to one share. For a linear head the shares and the bias add up to f.
    """
    x = head.read(given).detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(head.answers(x, given.retrieval)[:, TASKS.index(task)].sum(), x)
    each = (slope * x).detach().numpy()
    found = {name: each[:, n] for n, name in enumerate(NUMBERS)}
    found["retrieval"] = found["retrieval"] + given.retrieval.numpy()
    for name, part in zip(BLOCKS, np.split(each[:, len(NUMBERS) :], 3, axis=1), strict=True):
        found[name] = part.sum(axis=1)
    return found
