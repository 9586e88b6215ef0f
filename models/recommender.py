"""One score: what the timeline points at, what everybody takes, and what this user takes again.

    score(u, i, t) = u . v_i  +  w_pop . P_i(t)  +  w_rep . R_ui(t)  +  w_fol . F_ui

The parts (what the vectors say, what everybody takes, what this user takes again, what is taken after the latest
events) are learned together, because they answer for each other: what popularity explains, the tower need not.
There is no embedding of users. A user is a function of history, so new events count without training, and erasing the
events erases the user. All parts can be evaluated in SQL.
"""

import numpy as np
import torch
from torch import Tensor, nn

from models.batches import Batch
from models.covisitation import Covisitation
from models.encoder import Architecture, Encoder
from models.errors import CatalogueShrank
from models.popularity import MONTH, PopularityClock
from models.timelines import PROFILE, Catalogue
from models.whitening import Whitening, fit_whitening

# An id may move an item by the length that its text gives it, no further: what text says of new items stays true.
ID_BOUND = 1.0
# A feature whose logarithm varies less says nothing but rounding errors, and they would be all that is seen of it.
LEAST_SCALE = 1e-3
# No user is further from the average than this many deviations: a first window that was alike makes later ones extreme.
FURTHEST = 5.0
# Before anything is learned: the square root of how often the week and the month took an item.
FIRST_POPULARITY = (0.0, 0.5, 0.5)
# Before anything is learned: a user's own counts help a little, as in most domains.
FIRST_REPEAT = (0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0)

# Before anything is learned: what follows helps, whether the user has touched it before or not.
FIRST_FOLLOWING = (0.5, 0.0)


class Recommender(nn.Module):
    """Score every item of a catalogue for a user at a moment."""

    text: Tensor  # (N, k) whitened
    centre: Tensor  # (E,)
    basis: Tensor  # (E, k)
    profile_mean: Tensor  # (F,)
    profile_scale: Tensor  # (F,)

    def __init__(self, catalogue: Catalogue, architecture: Architecture | None = None, seed: int = 0) -> None:
        super().__init__()
        self.architecture = architecture or Architecture(text_dimensions=catalogue.text.shape[1])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._build(self.architecture)
        self.item_ids: tuple[str, ...] = ()
        self.clock = PopularityClock.empty(0)
        self.counted = Covisitation.empty(0)
        self.increments = 0  # how often it was fitted
        self.grow(catalogue)

    def _build(self, architecture: Architecture) -> None:
        d, whitened = architecture.dimensions, architecture.whitened_dimensions
        self.projection = nn.Linear(whitened, d, bias=False)
        nn.init.normal_(self.projection.weight, std=d**-0.5)  # a text of length one becomes a vector of about one
        self.residual = nn.Parameter(torch.zeros(0, d))
        self.encoder = Encoder(architecture)
        self.start = nn.Parameter(torch.zeros(d))  # the state of a user without history
        self.profile = nn.Linear(len(PROFILE), d, bias=False)
        nn.init.zeros_(self.profile.weight)
        self.popularity = nn.Parameter(torch.tensor(FIRST_POPULARITY))
        self.repeat = nn.Parameter(torch.tensor(FIRST_REPEAT))
        self.following = nn.Parameter(torch.tensor(FIRST_FOLLOWING))
        self.register_buffer("text", torch.zeros(0, whitened))
        self.register_buffer("centre", torch.zeros(architecture.text_dimensions, dtype=torch.float64))
        self.register_buffer("basis", torch.zeros(architecture.text_dimensions, whitened, dtype=torch.float64))
        self.register_buffer("profile_mean", torch.zeros(len(PROFILE)))
        self.register_buffer("profile_scale", torch.zeros(len(PROFILE)))  # zero: not fitted yet

    def __len__(self) -> int:
        return len(self.item_ids)

    @property
    def device(self) -> torch.device:
        """Return where the weights are."""
        return self.start.device

    def grow(self, catalogue: Catalogue) -> None:
        """Append what a whole catalogue has beyond the model's items.

        Raises CatalogueShrank when the old items are not its beginning.
        """
        old = len(self)
        if catalogue.item_ids[:old] != self.item_ids:
            raise CatalogueShrank("the catalogue does not begin with the model's items; only append to it")
        self.append(Catalogue(catalogue.item_ids[old:], catalogue.text[old:]))

    def append(self, added: Catalogue) -> None:
        """Append new items, with the vector that their text gives them and a residual of zero.

        Indices, vectors and counts of old items do not change. The ids must be new to the model. Raises
        CatalogueShrank when the text comes from a language model of another width.
        """
        if added.text.shape[1] != self.architecture.text_dimensions:
            raise CatalogueShrank(
                f"text embeddings have {added.text.shape[1]} dimensions, the model was built for "
                f"{self.architecture.text_dimensions}; use the language model it began with, or train a new one"
            )
        rows = torch.from_numpy(self._whitening(added).apply(added.text)).to(self.device)
        self.text = torch.cat([self.text, rows])
        zeros = self.residual.new_zeros(len(rows), self.architecture.dimensions)
        self.residual = nn.Parameter(torch.cat([self.residual.detach(), zeros]))
        self.item_ids = (*self.item_ids, *added.item_ids)
        self.clock.grow(len(self))
        self.counted.grow(len(self))

    def _whitening(self, added: Catalogue) -> Whitening:
        """Return the stored whitening, fitted on these items if no earlier ones had any text."""
        stored = Whitening(self.centre.cpu().numpy(), self.basis.cpu().numpy())
        if stored.fitted:
            return stored
        fitted = fit_whitening(added.text, self.architecture.whitened_dimensions)
        self.centre, self.basis = (torch.from_numpy(v).to(self.device) for v in (fitted.centre, fitted.basis))
        return fitted

    def item_vectors(self) -> Tensor:
        """Return v (N, d): the projected text plus the id residual, whose length is at most ID_BOUND."""
        length = self.residual.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return self.projection(self.text) + self.residual * (ID_BOUND / length).clamp_max(1.0)

    def user_vectors(self, batch: Batch, items: Tensor) -> Tensor:
        """Return u (Q, d) of the batch's queries, given the item vectors (N, d)."""
        states = self.encoder(items[batch.items], batch.types, batch.gaps, batch.asked).flatten(0, 1)  # (B * A, d)
        states = torch.cat([states, self.start[None].to(states.dtype)])
        return states[batch.place].float() + self.profile(self.standardised(batch.profile))

    def vectors(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the batch's user vectors (Q, d) and all item vectors (N, d)."""
        items = self.item_vectors()
        return self.user_vectors(batch, items), items

    def scores(self, batch: Batch, snapshots: Tensor) -> Tensor:
        """Return the scores (Q, N) of all items, given the popularity snapshots (S, N, 3)."""
        return self.sum_of_terms(*self.vectors(batch), batch, snapshots)

    def sum_of_terms(self, users: Tensor, items: Tensor, batch: Batch, snapshots: Tensor) -> Tensor:
        """Return the scores (Q, N) from user vectors (Q, d), item vectors (N, d) and snapshots (S, N, 3)."""
        scores = (users @ items.T).float() + self.popular(snapshots)[batch.snapshot]
        scores = scores + self.followed(batch)[:, :1] * batch.following
        return scores.index_put((batch.repeat_query, batch.repeat_item), self.again(batch, snapshots), accumulate=True)

    def popular(self, features: Tensor) -> Tensor:
        """Return w_pop . P (...) of popularity features (..., 3); a written-out sum stays float32 under autocast."""
        return (features * self.popularity).sum(dim=-1)

    def again(self, batch: Batch, snapshots: Tensor) -> Tensor:
        """Return w_rep . R (R,) of the batch's repeat rows.

        The seventh feature is the month's popularity of a touched item. Without it one weight would have to say how
        much popularity means for what is new to a user and for what the user's own counts already explain.
        """
        query, item = batch.repeat_query, batch.repeat_item
        popular = snapshots[batch.snapshot[query], item, MONTH] * self.repeat[-1]
        follows = batch.following[query, item] * self.followed(batch)[query, 1]
        return (batch.repeat_values * self.repeat[:-1]).sum(dim=-1) + popular + follows

    def followed(self, batch: Batch) -> Tensor:
        """Return w_fol (Q, 2): of what follows, and what more of it where the user touched the item before.

        A replayed moment is answered by counts that know of it. It may not teach how much to believe in them.
        """
        return torch.where(batch.early[:, None], self.following.detach(), self.following)

    def standardised(self, profile: Tensor) -> Tensor:
        """Return raw features (Q, F) as comparable numbers within FURTHEST; what is unknown counts as average, zero."""
        logged = torch.log1p(profile.clamp_min(0.0))
        scale = torch.where(self.profile_scale >= LEAST_SCALE, 1.0 / self.profile_scale, 0.0)
        known = torch.nan_to_num((logged - self.profile_mean) * scale, nan=0.0, posinf=0.0, neginf=0.0)
        return known.clamp(-FURTHEST, FURTHEST)

    def fit_profile(self, profile: np.ndarray) -> None:
        """Learn mean and scale of the features (Q, F) from the first rows that have any; later calls change nothing."""
        if bool(self.profile_scale.any()) or not np.isfinite(profile).any():
            return
        logged = np.ma.masked_invalid(np.log1p(np.maximum(profile.astype(np.float64), 0.0)))
        mean, scale = logged.mean(axis=0).filled(0.0), logged.std(axis=0).filled(0.0)
        self.profile_mean = torch.from_numpy(mean).float().to(self.device)
        self.profile_scale = torch.from_numpy(scale).float().to(self.device)
