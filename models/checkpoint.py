"""A model as bytes, named by their hash.

Safetensors, never a pickle: a file that runs code when it is read has no place in a table that many can write. What
stands in the bytes is all of the model (weights, whitening, whitened text, item ids, popularity clock, pairs), so that
they can be scored with years later. The same model gives the same bytes.
"""

import hashlib
import json
from dataclasses import asdict

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors
from scipy import sparse
from torch import Tensor

from models.covisitation import Covisitation
from models.encoder import Architecture
from models.errors import WrongFormat, WrongHash, WrongShape
from models.popularity import PopularityClock
from models.recommender import Recommender
from models.timelines import Catalogue

FORMAT = 2
KNOWS_NO_PAIRS = 1  # a format that is still read: nothing is known to follow anything
# One key: safetensors keeps several in no particular order, and the bytes would differ from run to run.
MANIFEST = "tidegate"
ITEM_IDS = "item_ids"
CLOCK = "clock."
COUNTED = "counted."


def weights_hash(data: bytes) -> str:
    """Return the name of a checkpoint: the SHA-256 of its bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def dump(model: Recommender) -> bytes:
    """Return the model as safetensors bytes; equal models give equal bytes."""
    manifest = {
        "format": FORMAT,
        "architecture": asdict(model.architecture),
        "items": len(model),
        "increments": model.increments,
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    ids = np.frombuffer(json.dumps(model.item_ids).encode(), dtype=np.uint8)
    tensors |= {ITEM_IDS: torch.from_numpy(ids.copy()), **_clock_tensors(model.clock), **_pair_tensors(model.counted)}
    return write_tensors(tensors, metadata={MANIFEST: json.dumps(manifest, sort_keys=True)})


def load(data: bytes, expected: str | None = None) -> Recommender:
    """Return the model that `dump` wrote, on the CPU.

    Raises WrongHash when `expected` (a `weights_hash`) names other bytes, WrongFormat when this code cannot read them,
    WrongShape when a tensor is missing, too many or of another shape than the architecture says.
    """
    if expected is not None and weights_hash(data) != expected:
        raise WrongHash(
            f"weights {expected[:12]}… were asked for, these bytes are {weights_hash(data)[:12]}…; read them again"
        )
    manifest, tensors = _manifest(data), _tensors(data)
    try:
        ids = tuple(json.loads(bytes(tensors.pop(ITEM_IDS).numpy())))
        if manifest["format"] == KNOWS_NO_PAIRS:
            tensors |= {"following": torch.zeros(2), **_pair_tensors(Covisitation.empty(len(ids)))}
        clock, counted = _clock(tensors), _counted(tensors, len(ids))
        model = _empty(Architecture(**manifest["architecture"]), ids)
        _fill(model, tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WrongShape(f"the checkpoint's tensors do not fit its architecture: {error}; write it again") from error
    if clock.counts.shape != (len(ids), 3) or clock.snapshots.shape[1:] != (len(ids), 3):
        raise WrongShape(
            f"a popularity clock of {len(clock)} items beside {len(ids)} items; write the checkpoint again"
        )
    model.clock, model.counted, model.increments = clock, counted, int(manifest["increments"])
    return model.eval()


def _manifest(data: bytes) -> dict:
    """Return the manifest in the header: eight bytes of length, then JSON."""
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        manifest = json.loads(header["__metadata__"][MANIFEST])
    except (KeyError, TypeError, ValueError) as error:
        raise WrongFormat("these bytes are no checkpoint of a recommender; give what `dump` returned") from error
    if manifest["format"] not in (KNOWS_NO_PAIRS, FORMAT):
        raise WrongFormat(f"checkpoint format {manifest['format']}, this version reads {FORMAT}; use the other version")
    return manifest


def _tensors(data: bytes) -> dict[str, Tensor]:
    try:
        return read_tensors(data)
    except SafetensorError as error:
        raise WrongFormat(f"these bytes are no safetensors: {error}; read them again") from error


def _empty(architecture: Architecture, item_ids: tuple[str, ...]) -> Recommender:
    """Return a model of the right shape, whose contents are then replaced."""
    text = np.zeros((len(item_ids), architecture.text_dimensions), dtype=np.float32)
    return Recommender(Catalogue(item_ids, text), architecture)


def _fill(model: Recommender, tensors: dict[str, Tensor]) -> None:
    model.load_state_dict(tensors, strict=True)


def _clock_tensors(clock: PopularityClock) -> dict[str, Tensor]:
    arrays = {
        "counts": clock.counts,
        "at": np.array([clock.at]),
        "snapshot_times": clock.snapshot_times,
        "snapshots": clock.snapshots,
    }
    return {CLOCK + name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def _clock(tensors: dict[str, Tensor]) -> PopularityClock:
    """Take the clock's tensors out of `tensors`."""
    names = ("counts", "at", "snapshot_times", "snapshots")
    counts, at, times, snapshots = (tensors.pop(CLOCK + name).numpy() for name in names)
    return PopularityClock(counts, float(at[0]), times, snapshots)


def _pair_tensors(counted: Covisitation) -> dict[str, Tensor]:
    counts = counted.counts
    arrays = {
        "bounds": counts.indptr.astype(np.int64),
        "items": counts.indices.astype(np.int32),
        "weights": counts.data.astype(np.float32),
        "at": np.array([counted.at]),
    }
    return {COUNTED + name: torch.from_numpy(array) for name, array in arrays.items()}


def _counted(tensors: dict[str, Tensor], size: int) -> Covisitation:
    """Take the pairs' tensors out of `tensors`."""
    bounds, items, weights, at = (tensors.pop(COUNTED + name).numpy() for name in ("bounds", "items", "weights", "at"))
    counts = sparse.csr_array((weights, items, bounds), shape=(size, size))
    counts.check_format()
    return Covisitation(counts, float(at[0]))
