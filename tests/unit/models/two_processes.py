"""What each process of a parallel fit runs: `torchrun --nproc-per-node 2 two_processes.py FOLDER`."""

import sys
from pathlib import Path

import torch
from torch import distributed

from models import checkpoint
from models.settings import FitSettings
from models.training import fit
from tests.unit.models.worlds import cycle, random_timelines, recommender

ITEMS = 15
# Nine timelines: one chunk in the last batch of an epoch, so that a process has nothing to do. By plain gradients,
# for AdamW divides the rounding errors of what has no gradient (a key's bias) by their own size.
SETTINGS = FitSettings(
    first_epochs=2, first_steps=0, first_rate=0.1, rate=0.1, chunks=4, anchor=0.1, prefetch=1, optimiser="sgd"
)


def main(folder: Path) -> None:
    """Fit a first version and an increment; write the name of the weights and the weights."""
    distributed.init_process_group("gloo")
    model, losses = fitted(dropout=True)
    rank = distributed.get_rank()
    (folder / f"name-{rank}").write_text(checkpoint.weights_hash(checkpoint.dump(model)))
    model, losses = fitted(dropout=False)
    torch.save([model.state_dict(), losses], folder / f"weights-{rank}")
    distributed.destroy_process_group()


def fitted(dropout: bool) -> tuple:
    """Return a model, and the losses of its increment."""
    model = recommender(ITEMS)
    if not dropout:
        for layer in model.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.p = 0.0
    fit(model, random_timelines(9, ITEMS, 20), settings=SETTINGS)
    report = fit(model, cycle(9, ITEMS, 12), random_timelines(4, ITEMS, 9, seed=1), SETTINGS)
    return model, report.losses


if __name__ == "__main__":
    main(Path(sys.argv[1]))
