"""Pictures of the latent space."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from galgen import figures
from galgen.errors import GalgenError
from galgen.pictures.picture import Picture, check_positive
from galgen.pictures.saving import FORMATS, save_all
from galgen.runs.encoded_survey import Latents, encode_part
from galgen.runs.trained_run import TrainedRun

LEGIBLE_PAIRS = 6
"""Dimensions in a corner plot that can be read at page width."""


class Traversal(Picture):
    """What each latent dimension does to a galaxy, a row a dimension, sorted by KL.

    Args:
        galaxy: number of the galaxy in the split; a random one where None.
        dimensions: at most so many, those of the largest KL.
        limit: the latent goes from -limit to limit.
        steps: images in a row.
        **arguments: as `Picture`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        galaxy: int | None = None,
        dimensions: int = 8,
        limit: float = 3.0,
        steps: int = 7,
        **arguments,
    ):
        super().__init__(**arguments)
        check_positive(dimensions=dimensions, steps=steps, limit=limit)
        self.galaxy, self.dimensions, self.limit, self.steps = galaxy, dimensions, limit, steps

    def draw(self, run: TrainedRun) -> dict[str, Figure]:
        """Return the figure `traversal`."""
        position = self.choose(run, self.galaxy, 1)[0]
        latents = encode_part(run, self.split)
        order = np.argsort(latents.kl)[::-1][: self.dimensions]
        values = np.linspace(-self.limit, self.limit, self.steps)
        latent = np.tile(latents.mean[position], (len(order), self.steps, 1))
        for row, dimension in enumerate(order):
            latent[row, :, dimension] = values
        condition = latents.redshift[position] if run.model.conditional else None
        flat = latent.reshape(-1, latent.shape[-1])
        images = np.concatenate(
            [
                run.physical(run.model.decode(flat[start : start + self.steps], condition))
                for start in range(0, len(flat), self.steps)
            ]
        )
        images = images.reshape(len(order), self.steps, *images.shape[1:])
        figure = figures.traversal(images, values, order, latents.kl[order], self.display(run))
        return {"traversal": figure}


class Latent(Picture):
    """The latent space of a split: pairs of dimensions against N(0, 1), KL of each, active ones.

    Args:
        dimensions: numbers of the dimensions in the corner plot; the six of the largest KL where
            None; `all` takes all.
        colour: `redshift`, or None for counts.
        **arguments: as `Picture`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self, dimensions: Sequence[int] | str | None = None, colour: str | None = None, **arguments
    ):
        super().__init__(**arguments)
        if colour not in (None, "redshift"):
            raise ValueError(f"colour is {colour!r}, it can be null or redshift")
        self.dimensions, self.colour = dimensions, colour

    def draw(self, run: TrainedRun) -> dict[str, Figure]:
        """Return the figures `latent` and `latent_kl`."""
        return self._figures(self.encode(run))

    def write(
        self,
        run: TrainedRun,
        folder: Path,
        formats: Sequence[str] = FORMATS,
        suffix: str = "",
    ) -> list[Path]:
        """Draw, and write figures and latents."""
        latents = self.encode(run)
        paths = save_all(self._figures(latents), folder, formats, suffix)
        path = folder / f"latents_{self.split}{f'_seed{self.seed}' if self.seed else ''}.h5"
        facts = {"run": run.name, "config_sha256": run.config_sha256}
        latents.save(path, {**facts, "split": self.split, "seed": self.seed})
        return [*paths, path]

    def encode(self, run: TrainedRun) -> Latents:
        """Return the latents of the split."""
        self.choose(run, None, 1)
        return encode_part(run, self.split, self.seed)

    def _figures(self, latents: Latents) -> dict[str, Figure]:
        chosen = self._chosen(latents)
        if self.colour and not np.isfinite(latents.redshift).any():
            raise GalgenError("colour=redshift: the survey has no redshifts")
        corner = figures.corner(
            latents.sample[:, chosen],
            [f"latent {dimension}" for dimension in chosen],
            latents.redshift if self.colour else None,
            "mean redshift",
        )
        return {"latent": corner, "latent_kl": figures.kl_by_dimension(latents.kl, latents.active)}

    def _chosen(self, latents: Latents) -> np.ndarray:
        there = latents.mean.shape[1]
        if self.dimensions == "all":
            return np.arange(there)
        if self.dimensions is None:
            return np.argsort(latents.kl)[::-1][:LEGIBLE_PAIRS]
        chosen = self.dimensions if isinstance(self.dimensions, list) else [self.dimensions]
        if not chosen:
            raise GalgenError("dimensions=[]: name one at least, or leave it out")
        bad = [d for d in chosen if type(d) is not int or not 0 <= d < there]
        if bad:
            raise GalgenError(f"dimensions: {bad[0]} is none of 0 to {there - 1}")
        return np.array(chosen)
