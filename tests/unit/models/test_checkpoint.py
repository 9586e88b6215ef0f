"""Facts about models as bytes."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors

from models import checkpoint
from models.errors import CatalogueShrank, CheckpointError, WrongFormat, WrongHash, WrongShape
from models.recommender import Recommender
from models.timelines import Catalogue
from models.training import fit
from tests.unit.models.worlds import QUICK, SMALL, catalogue, random_timelines, recommender

ITEMS = 12


@pytest.fixture(scope="module")
def model() -> Recommender:
    model = recommender(ITEMS)
    fit(model, random_timelines(6, ITEMS, 20), settings=QUICK)
    return model


def rewritten(data: bytes, drop: str = "", **manifest: object) -> bytes:
    """Return the checkpoint with another manifest, or without a tensor."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    changed = json.loads(header["__metadata__"][checkpoint.MANIFEST]) | manifest
    tensors = {name: tensor for name, tensor in read_tensors(data).items() if name != drop}
    return write_tensors(tensors, metadata={checkpoint.MANIFEST: json.dumps(changed)})


def test_nothing_is_lost_on_the_way(model: Recommender):
    data = checkpoint.dump(model)
    back = checkpoint.load(data, checkpoint.weights_hash(data))
    assert checkpoint.dump(back) == data
    assert back.item_ids == model.item_ids
    assert back.increments == 1
    assert back.clock.at == model.clock.at
    np.testing.assert_array_equal(back.clock.snapshots, model.clock.snapshots)


def test_a_loaded_model_learns_what_its_original_would(model: Recommender):
    def grown(start: Recommender) -> bytes:
        fit(start, random_timelines(6, ITEMS, 20, seed=8), settings=QUICK, seed=1)
        return checkpoint.dump(start)

    one, other = (checkpoint.load(checkpoint.dump(model)) for _ in range(2))
    assert grown(one) == grown(other)


def test_ids_of_any_letters_survive():
    ids = ("ä", "項", 'with "quotes"', "")
    model = Recommender(Catalogue(ids, np.zeros((4, 8), dtype=np.float32)), SMALL)
    assert checkpoint.load(checkpoint.dump(model)).item_ids == ids


def test_other_bytes_than_the_named_ones_are_refused(model: Recommender):
    with pytest.raises(WrongHash, match="were asked for"):
        checkpoint.load(checkpoint.dump(model), "0" * 64)


@pytest.mark.parametrize("data", [b"", b"\x08", b"no model at all", (1 << 60).to_bytes(8, "little") + b"{}"])
def test_what_is_no_checkpoint_is_refused(data: bytes):
    with pytest.raises(WrongFormat):
        checkpoint.load(data)


def test_safetensors_of_somebody_else_are_refused():
    with pytest.raises(WrongFormat, match="no checkpoint of a recommender"):
        checkpoint.load(write_tensors({"weight": torch.zeros(3)}))


def test_a_checkpoint_cut_short_is_refused(model: Recommender):
    with pytest.raises(WrongFormat):
        checkpoint.load(checkpoint.dump(model)[:-100])


def test_a_format_from_the_future_is_refused(model: Recommender):
    with pytest.raises(WrongFormat, match="checkpoint format 99"):
        checkpoint.load(rewritten(checkpoint.dump(model), format=99))


@pytest.mark.parametrize("tensor", ["residual", "clock.counts", "item_ids", "encoder.norm.weight"])
def test_a_missing_tensor_is_refused(model: Recommender, tensor: str):
    with pytest.raises(WrongShape):
        checkpoint.load(rewritten(checkpoint.dump(model), drop=tensor))


@pytest.mark.parametrize("architecture", [{}, {"text_dimensions": 8, "dimensions": 32}, {"text_dimensions": 8, "x": 1}])
def test_weights_of_another_architecture_are_refused(model: Recommender, architecture: dict):
    with pytest.raises(WrongShape):
        checkpoint.load(rewritten(checkpoint.dump(model), architecture=architecture))


def test_every_refusal_is_a_checkpoint_error():
    assert all(issubclass(error, CheckpointError) for error in (WrongFormat, WrongHash, WrongShape))


def test_old_vectors_stay_when_the_catalogue_grows(model: Recommender):
    loaded = checkpoint.load(checkpoint.dump(model))
    with torch.no_grad():
        before = loaded.item_vectors().numpy()
        old, more = catalogue(ITEMS), catalogue(ITEMS + 4, seed=5)
        text = np.concatenate([old.text, more.text[ITEMS:]])
        loaded.grow(Catalogue(more.item_ids, text))
        after = loaded.item_vectors().numpy()
    np.testing.assert_array_equal(after[:ITEMS], before)
    assert after.shape == (ITEMS + 4, SMALL.dimensions)
    assert after[ITEMS:].any(axis=1).all()
    assert len(loaded.clock) == ITEMS + 4


def test_a_catalogue_that_lost_items_is_refused(model: Recommender):
    with pytest.raises(CatalogueShrank, match="only append"):
        checkpoint.load(checkpoint.dump(model)).grow(catalogue(ITEMS - 1))


def test_another_language_model_is_refused(model: Recommender):
    with pytest.raises(CatalogueShrank, match="dimensions"):
        checkpoint.load(checkpoint.dump(model)).grow(catalogue(ITEMS, text=5))


def test_the_first_catalogue_with_text_fits_the_whitening():
    model = Recommender(Catalogue(("a", "b"), np.zeros((2, 8), dtype=np.float32)), SMALL)
    assert not model.basis.any()
    text = np.concatenate([np.zeros((2, 8)), catalogue(5).text]).astype(np.float32)
    model.grow(Catalogue(("a", "b", *"cdefg"), text))
    assert model.basis.any()
    assert not model.text[:2].any()
    assert model.text[2:].any(dim=1).all()
