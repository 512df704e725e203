"""What a run sees of galaxies that it encodes: their latents, and their fluxes in each band."""

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from rich.progress import track

from galgen.data.batch import Batch
from galgen.priors.condition_posterior import Seen
from galgen.runs.trained_run import TrainedRun

BLOCK = 64
"""Galaxies encoded at a time."""


def see(run: TrainedRun, batch: Callable[[int, int], Batch], n: int) -> Seen:
    """Encode n galaxies, a block at a time.

    Args:
        run: the trained run, whose encoder needs no redshift.
        batch: maps the first row and the one after the last to their galaxies.
        n: number of galaxies.
    """
    found = []
    blocks = track(range(0, n, BLOCK), "encoding", transient=True, disable=not sys.stdout.isatty())
    for first in blocks:
        galaxies = run.on_device(batch(first, min(first + BLOCK, n)))
        latent = run.encode_batch(galaxies).mean
        found.append((latent.cpu(), fitted_fluxes(run, galaxies, latent).cpu()))
    return Seen(*(torch.cat(column) for column in zip(*found, strict=True)))


def see_part(run: TrainedRun, part: str) -> Seen:
    """Encode a part of the run's survey.

    Raises:
        GalgenError: if the survey is not available.
    """
    n = len(run.survey.parts[part])
    return see(run, lambda first, stop: run.survey.batch(part, np.arange(first, stop)), n)


@torch.no_grad()
def fitted_fluxes(run: TrainedRun, batch: Batch, latent: torch.Tensor) -> torch.Tensor:
    """Return the flux of each band that fits stamps best in the shape of their reconstruction.

    The shape is the same in all bands, the mean of the reconstructed ones, and its squares sum to
    1, so that a flux is known as well as a pixel. A band without pixels has 0. Stamps without PSFs
    are taken for one of the survey's.

    Args:
        run: the trained run.
        batch: of N galaxies, on the model's device.
        latent: of these, (N, latent_dim).

    Returns:
        On the model's scale, (N, B).
    """
    model = run.model
    if model.psf_free and batch.psf is None:
        psf = torch.from_numpy(run.exposures.psfs(np.array([0]))).to(latent)
        batch = replace(batch, psf=psf.expand(len(latent), -1, -1, -1))
    shape = model.observe(model.decode(latent), batch).mean(dim=1, keepdim=True)
    weight = torch.ones_like(batch.image) if batch.weight is None else batch.weight
    seen = (weight * shape.square()).sum(dim=(2, 3)).clamp_min(1e-20)
    size = shape.square().sum(dim=(2, 3)).sqrt()
    return size * (weight * batch.image * shape).sum(dim=(2, 3)) / seen
