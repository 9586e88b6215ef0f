"""A head as bytes, beside its recommender's.

Safetensors, as models.checkpoint; the same head gives the same bytes. A head names its numbers, so one from before a
number was read still answers as it did: the new number weighs nothing until an increment learns it. One of a number
that is no longer read is refused, for its answers would be others.
"""

import json
from dataclasses import asdict

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors
from torch import Tensor

from models.errors import WrongFormat, WrongShape
from models.ranking.calibration import Calibration
from models.ranking.examples import TASKS
from models.ranking.features import NUMBERS
from models.ranking.head import Head, Shape

FORMAT = 1
MANIFEST = "tidegate.ranking"


def dump(head: Head) -> bytes:
    """Return the head as safetensors bytes; equal heads give equal bytes."""
    manifest = {
        "format": FORMAT,
        "shape": asdict(head.shape),
        "tasks": TASKS,
        "numbers": NUMBERS,
        "increments": head.increments,
    }
    tensors = {name: tensor.detach().contiguous() for name, tensor in head.state_dict().items()}
    for task, calibration in zip(TASKS, head.calibrations, strict=True):
        line = np.array([calibration.slope, calibration.shift])
        for name, array in (("line", line), ("knots", calibration.knots), ("values", calibration.values)):
            tensors[f"calibration.{task}.{name}"] = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64))
    return write_tensors(tensors, metadata={MANIFEST: json.dumps(manifest, sort_keys=True)})


def load(data: bytes) -> Head:
    """Return the head that `dump` wrote.

    Raises WrongFormat when this code cannot read the bytes or reads other numbers, WrongShape when a tensor is missing,
    too many or of another shape.
    """
    manifest = _manifest(data)
    try:
        tensors = read_tensors(data)
        head = Head(Shape(**manifest["shape"]))
        head.calibrations = tuple(
            Calibration(
                *tensors.pop(f"calibration.{task}.line").tolist(),
                *(tensors.pop(f"calibration.{task}.{name}").numpy() for name in ("knots", "values")),
            )
            for task in TASKS
        )
        head.load_state_dict(widened(tensors, head, manifest["numbers"]), strict=True)
    except SafetensorError as error:
        raise WrongFormat(f"these bytes are no safetensors: {error}; read them again") from error
    except (IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WrongShape(f"the checkpoint's tensors do not fit its shape: {error}; write it again") from error
    head.increments = int(manifest["increments"])
    return head.eval()


def widened(tensors: dict[str, Tensor], head: Head, numbers: list[str]) -> dict[str, Tensor]:
    """Return a head's tensors with a column for each number that this code reads; zeros for those that are new."""
    place = torch.tensor([NUMBERS.index(name) for name in numbers])
    found = dict(tensors)
    for name in ("mean", "scale"):
        found[name] = torch.zeros(len(NUMBERS)).index_copy(0, place, tensors[name])
    for name in ("wide", "trunk"):
        rest = torch.arange(len(NUMBERS), head.shape.width)
        old = tensors[name]
        found[name] = torch.zeros(len(old), head.shape.width).index_copy(1, torch.cat([place, rest]), old)
    return found


def _manifest(data: bytes) -> dict:
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        manifest = json.loads(header["__metadata__"][MANIFEST])
    except (KeyError, TypeError, ValueError) as error:
        raise WrongFormat("these bytes are no checkpoint of a ranking head; give what `dump` returned") from error
    if manifest["format"] != FORMAT:
        raise WrongFormat(f"head format {manifest['format']}, this version reads {FORMAT}; use the other version")
    if manifest["tasks"] != list(TASKS) or set(manifest["numbers"]) - set(NUMBERS):
        raise WrongFormat("a head of other tasks or numbers than this version reads; train a new one")
    return manifest
