"""Stamps that a user gives, as a run's encoder takes them."""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from galgen.data.augmentation import crop
from galgen.data.batch import Batch
from galgen.data.edges import edge_pixels
from galgen.data.part import Part
from galgen.data.stamp_file import StampFile
from galgen.errors import GalgenError
from galgen.runs.image_facts import PEAK
from galgen.runs.trained_run import TrainedRun

log = logging.getLogger(__name__)

ALIKE = 0.01
"""Relative difference of pixel scales that count as one."""
LARGEST = 50
"""Pixels that are so many times larger or smaller than a run's are none of its survey."""
FAINTEST = 100
"""Zero points are smaller than that, AB."""


class GivenStamps:
    """The galaxies of a stamp file, in the bands, the unit and on the pixels of a run.

    Args:
        run: the trained run.
        path: the stamp file.
        pixel_scale: of its pixels, arcsec; the file's own where None.
        zero_point: AB magnitude of one unit, for all bands or for each; the file's own where None.

    Attributes:
        stamps: the stamp file.

    Raises:
        GalgenError: if the file lacks a band of the run, unit or pixel scale are not known where
            they matter, or its stamps are too small.
    """

    def __init__(
        self,
        run: TrainedRun,
        path: str | Path,
        pixel_scale: float | None = None,
        zero_point: float | Sequence[float] | None = None,
    ):
        self.run = run
        named = run.bands if "bands" in run.attributes else None
        self.stamps = StampFile(path, named)
        if len(self.stamps.bands) != run.model.bands:
            raise GalgenError(
                f"images={path}: it has {len(self.stamps.bands)} bands, and {run.name} takes "
                f"{run.model.bands}. Give a file with {', '.join(run.bands)}."
            )
        self.factor = self._factor(zero_point)
        self.scale = self._scale(pixel_scale)
        self.resampled = abs(self.scale - 1) > ALIKE
        size, wanted = self.stamps.size, run.model.image_size
        if self.resampled:
            size = math.floor(size * self.scale)
            log.warning(
                "images=%s: its pixels are resampled to %.4g arcsec; their noise is measured at "
                "the edges of the stamps",
                *(path, run.pixel_scale),
            )
        if size < wanted:
            raise GalgenError(
                f"images={path}: its stamps cover {size} of the model's pixels, and {run.name} "
                f"takes {wanted} x {wanted}. Cut larger stamps."
            )
        has_psfs = "psf" in self.stamps.stacks
        if run.model.psf_free and not has_psfs:
            log.warning("images=%s: it has no PSFs; those of the run's survey are assumed", path)
        read = self.stamps.size if self.resampled else wanted
        self.part = Part(self.stamps, np.arange(len(self.stamps)), read, psf=has_psfs)

    def __len__(self) -> int:
        return len(self.stamps)

    def batch(self, first: int, stop: int) -> Batch:
        """Return the galaxies of rows `first` to `stop - 1`, on the model's scale and device."""
        batch = self.part.batch(torch.arange(first, stop))
        stacks = {"image": batch.image * self.factor[:, None, None]}
        noise = None if batch.noise is None else batch.noise * self.factor
        weight = batch.weight
        if self.resampled:
            size = self.run.model.image_size
            stacks["image"] = self._resample(stacks["image"], size)
            noise = _edge_scatter(stacks["image"])
            if batch.psf is not None:
                side = 2 * math.ceil(batch.psf.shape[-1] * self.scale / 2) + 1
                psf = self._resample(batch.psf, side)
                total = psf.sum(dim=(2, 3), keepdim=True)
                stacks["psf"] = torch.where(total > 0, psf / total, 0.0)
            if weight is not None:
                weight = (self._resample(weight, size) * self.scale**2 > 0.95).float()
        if weight is not None:
            weight = crop(weight, self.run.model.image_size)
            stacks["image"] = stacks["image"].where(weight > 0, 0.0)
        background = batch.background
        if background is not None:
            background = background * self.factor / self.scale**2
        elif self.run.facts.get("background") and self._unit_alike:
            background = torch.tensor(self.run.facts["background"]).expand(stop - first, -1)
        batch = replace(batch, **stacks, noise=noise, weight=weight, background=background)
        return self.run.transform(self.run.on_device(batch))

    def _factor(self, zero_point: float | Sequence[float] | None) -> torch.Tensor:
        """Return what pixels of each band are multiplied by, (B,)."""
        own, bands = self.run.zero_points, len(self.run.bands)
        self._unit_alike = self.stamps.attrs.get("unit") == self.run.attributes.get("unit")
        if self.run.unit == PEAK or all(point is None for point in own):
            return torch.ones(bands)
        if zero_point is not None:
            for point in zero_point if _several(zero_point) else [zero_point]:
                if not _is_number(point) or abs(point) > FAINTEST:
                    raise GalgenError(
                        f"zero_point={zero_point}: give the AB magnitude of one unit, as 25.94."
                    )
        given = self.stamps.zero_points if zero_point is None else zero_point
        given = list(given) if _several(given) else [given] * bands
        if len(given) != bands:
            raise GalgenError(f"zero_point={zero_point}: give one, or {bands}, one a band.")
        for band, point in zip(self.run.bands, given, strict=True):
            if point is None:
                raise GalgenError(
                    f"images={self.stamps.path}: the zero point of {band} is not known, and "
                    f"{self.run.name} has {own} ({self.run.unit}). Give zero_point=<AB magnitude "
                    "of one unit>."
                )
        pairs = zip(own, given, strict=True)
        return torch.tensor(
            [1.0 if mine is None else 10 ** (0.4 * (mine - point)) for mine, point in pairs]
        ).float()

    def _scale(self, pixel_scale: float | None) -> float:
        """Return how many of the run's pixels the side of one of the file's pixels has."""
        own = self.run.pixel_scale
        given = self.stamps.attrs.get("pixel_scale") if pixel_scale is None else pixel_scale
        if own is None:
            return 1.0
        if given is None:
            raise GalgenError(
                f"images={self.stamps.path}: its pixel scale is not known, and {self.run.name} has "
                f"{own:g} arcsec. Give pixel_scale=<arcsec>."
            )
        if not (_is_number(given) and 1 / LARGEST < given / own < LARGEST):
            raise GalgenError(
                f"pixel_scale={given}: the side of a pixel in arcsec is meant, and {self.run.name} "
                f"has {own:g}. Give pixel_scale=<arcsec>."
            )
        return float(given) / own

    def _resample(self, stack: torch.Tensor, side: int) -> torch.Tensor:
        """Interpolate images (N, B, h, w) to the run's pixels, (N, B, side, side)."""
        import galsim  # for stamps of other pixels alone

        planes, k = stack.numpy().astype(float), math.ceil(1 / self.scale)
        found = np.empty((*planes.shape[:2], side, side), np.float32)
        for place in np.ndindex(planes.shape[:2]):
            image = galsim.Image(planes[place], scale=self.scale)
            galaxy = galsim.InterpolatedImage(image, normalization="flux", calculate_stepk=False)
            # On pixels no larger than the file's, and then summed: sampled at larger ones, light
            # between them would be lost, and noise would be folded in.
            fine = galaxy.drawImage(nx=k * side, ny=k * side, scale=1 / k, method="no_pixel").array
            found[place] = fine.reshape(side, k, side, k).sum(axis=(1, 3))
        return torch.from_numpy(found)


def _several(value) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_number(value) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _edge_scatter(images: torch.Tensor) -> torch.Tensor:
    """Return the robust scatter of the outermost pixels of images (N, B, H, W), (N, B)."""
    edge = edge_pixels(images.numpy())
    away = np.abs(edge - np.median(edge, axis=-1, keepdims=True))
    return torch.from_numpy(1.4826 * np.median(away, axis=-1).astype(np.float32))
