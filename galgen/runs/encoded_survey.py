"""The latents of a survey's galaxies: where the encoder puts them."""

import sys
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from rich.progress import track
from scipy.special import ndtri

from galgen.data.stamp_file import known_redshifts
from galgen.files import written_whole
from galgen.priors.random_numbers import POSTERIOR, uniform
from galgen.runs.trained_run import TrainedRun

BLOCK = 64
"""Galaxies encoded at a time."""
MOST_NAMED = 10
"""Collapsed dimensions that are named one by one."""
ACTIVE = 0.01
"""Least variance of the posterior mean over galaxies in an active dimension."""


@dataclass
class Latents:
    """The posteriors of N galaxies in D latent dimensions, as float64."""

    mean: np.ndarray
    """Of the posteriors, (N, D)."""
    std: np.ndarray
    """Of the posteriors, (N, D)."""
    sample: np.ndarray
    """A draw from each posterior, (N, D)."""
    row: np.ndarray
    """Of the galaxies in the stamp file, from 0, (N,)."""
    redshift: np.ndarray
    """Of the galaxies, (N,), NaN where unknown."""

    @property
    def kl(self) -> np.ndarray:
        """KL of each dimension to N(0, 1), averaged over galaxies, (D,), nats.

        Source: Kingma & Welling 2014, appendix B.
        """
        variance = self.std**2
        return 0.5 * (self.mean**2 + variance - np.log(variance) - 1).mean(axis=0)

    @property
    def active(self) -> np.ndarray:
        """Whether the posterior mean of a dimension varies between galaxies, (D,).

        Source: Burda, Grosse & Salakhutdinov 2016, section 5.1.
        """
        return self.mean.var(axis=0) > ACTIVE

    @property
    def collapsed(self) -> str | None:
        """The dimensions that are not active, in words; their number where they are many.

        None where all are active.
        """
        numbers = np.flatnonzero(~self.active)
        if not len(numbers):
            return None
        if len(numbers) > MOST_NAMED:
            return f"{len(numbers)} of {len(self.active)}"
        return f"{', '.join(map(str, numbers))} (counted from 0)"

    def save(self, path: Path, attributes: dict) -> None:
        """Write the latents to an HDF5 file, each under its name, with some attributes."""
        columns = {**vars(self), "kl": self.kl, "active": self.active}
        with written_whole(path) as part, h5py.File(part, "w") as file:
            for name, values in columns.items():
                file[name] = values
            file.attrs.update(attributes)


def encode_part(run: TrainedRun, part: str, seed: int = 0) -> Latents:
    """Encode the galaxies of a part of the run's survey.

    Args:
        run: the trained run.
        part: `train`, `val` or `test`.
        seed: of the posterior samples; whole number from 0.

    Raises:
        GalgenError: if the survey's file is missing or another than the training's.
    """
    n, posteriors = len(run.survey.parts[part]), []
    blocks = track(
        range(0, n, BLOCK),
        description=f"encoding {part}",
        transient=True,
        disable=not sys.stdout.isatty(),
    )
    for start in blocks:
        positions = np.arange(start, min(start + BLOCK, n))
        batch = run.survey.batch(part, positions)
        q = run.encode_batch(batch)
        posteriors.append((q.mean.cpu(), q.stddev.cpu()))
    mean, std = (torch.cat(column).double().numpy() for column in zip(*posteriors, strict=True))
    noise = ndtri(uniform(seed, POSTERIOR, 0, n, mean.shape[1]))
    rows = run.survey.parts[part].rows
    redshift = run.survey.stamps.columns.get("redshift", np.full(len(run.survey.stamps), np.nan))
    known = known_redshifts(redshift[rows]).astype(float)
    return Latents(mean, std, mean + std * noise, rows, known)
