"""Generated galaxies as a telescope takes them: through a PSF, with noise."""

import logging
from pathlib import Path

import numpy as np
import torch

from galgen.data.noise_correlation import draw_correlated
from galgen.data.surveys.cutouts.calibration import Given, calibrate
from galgen.data.surveys.cutouts.cutout_files import Unusable, read_file
from galgen.data.surveys.fits_files import file_and_part
from galgen.errors import GalgenError
from galgen.files import check_file, sha256
from galgen.models.telescope import convolve, on_survey_pixels
from galgen.priors.random_numbers import TELESCOPE, uniform
from galgen.runs.image_facts import PEAK
from galgen.runs.trained_run import TrainedRun

log = logging.getLogger(__name__)

NONE, SURVEY = "none", "survey"
ALIKE = 0.01
"""Relative difference of pixel scales that count as one."""


class Telescope:
    """The PSF and the noise that a run's galaxies are seen with.

    With `survey`, each galaxy has the PSF and the noise of one galaxy of the training part, drawn
    by its own number.

    Args:
        run: the trained run.
        psf: `none`, `survey`, or a FITS file with one image, or one for each band; None leaves the
            galaxies as the model makes them.
        noise: `none` or `survey`.

    Attributes:
        on_survey_pixels: whether the galaxies are seen on the survey's pixels; else they stay on
            those of the light.

    Raises:
        GalgenError: if the model's galaxies have a PSF already, or the survey or the file lacks
            what is asked for.
    """

    def __init__(self, run: TrainedRun, psf: str | None = None, noise: str = NONE):
        self.run, self.noise = run, noise
        self.psf = psf or (NONE if run.model.psf_free else "the survey's")
        self.on_survey_pixels = self.psf != NONE or noise != NONE
        self.sha256, self._kernel = None, None
        if psf is not None and not run.model.psf_free:
            raise GalgenError(
                f"psf={psf}: galaxies of {run.name} are blurred by the survey's PSF already. Leave "
                "psf out, or train a model with model.psf_free=true."
            )
        if noise not in (NONE, SURVEY):
            raise GalgenError(f"noise={noise}: it can be {NONE} or {SURVEY}.")
        if psf == SURVEY and not run.exposures.has_psfs:
            raise GalgenError(f"psf=survey: {run.exposures.source} has no PSFs. Give a FITS file.")
        if noise == SURVEY and run.unit == PEAK:
            raise GalgenError(
                f"noise=survey: galaxies of {run.name} are scaled to a peak of 1, and noise has a "
                "flux. Leave noise out."
            )
        if noise == SURVEY and not run.exposures.has_noise:
            raise GalgenError(
                f"noise=survey: {run.exposures.source} has no noise_variance. Leave noise out."
            )
        if psf not in (None, NONE, SURVEY):
            kernel, self.sha256 = self._read(psf)
            self._kernel = kernel[None]

    def observe(self, images: np.ndarray, seed: int, start: int) -> np.ndarray:
        """Return galaxies as they are seen.

        Args:
            images: light of the galaxies `start` and those after it, (n, B, s H, s W), in the run's
                unit.
            seed: of the galaxies.
            start: number of the first.

        Returns:
            (n, B, H, W); the light as it is where there is neither PSF nor noise.
        """
        if self.psf == SURVEY or self.noise == SURVEY:
            places = self._galaxies(seed, start, len(images))
        psfs = self._kernel
        if self.psf == SURVEY:
            psfs = self.run.exposures.psfs(places)
        oversampling = self.run.model.oversampling
        if psfs is not None:
            light = torch.from_numpy(images)
            images = convolve(light, torch.from_numpy(psfs), oversampling).numpy()
        elif self.on_survey_pixels:
            images = on_survey_pixels(images, oversampling)
        if self.noise == SURVEY:
            images = images + self._noise(places, seed, start, images.shape[-1])
        return images

    def _galaxies(self, seed: int, start: int, n: int) -> np.ndarray:
        """Draw which of the survey's galaxies each galaxy has PSF and noise of, (n,)."""
        place = uniform(seed, TELESCOPE, start, n, 1)[:, 0] * len(self.run.exposures)
        return place.astype(int)

    def _noise(self, places: np.ndarray, seed: int, start: int, size: int) -> np.ndarray:
        """Draw the noise of galaxies, (n, B, size, size), each by its number."""
        exposures = self.run.exposures
        drawn = [
            draw_correlated(
                exposures.correlation, 1, size, np.random.default_rng([TELESCOPE, seed, number])
            )
            for number in range(start, start + len(places))
        ]
        level = np.sqrt(exposures.noise_variance(places))
        return np.concatenate(drawn) * level[..., None, None].astype(np.float32)

    def _read(self, given: str) -> tuple[np.ndarray, str]:
        """Read a PSF on the run's pixels, (B, h, w) of sum 1, and the hash of its file."""
        path, part = file_and_part(given)
        check_file(f"psf={given}", path)
        try:
            pixels, cards = read_file(Path(path), part)
        except Unusable as error:
            raise GalgenError(f"psf={given}: {error}. Give another file.") from error
        planes = pixels[None] if pixels.ndim == 2 else pixels
        bands = self.run.model.bands
        if planes.ndim != 3 or len(planes) not in (1, bands):
            raise GalgenError(
                f"psf={given}: its image is {' x '.join(map(str, pixels.shape))}. Give one PSF, or "
                f"one for each of {', '.join(self.run.bands)}."
            )
        scale = calibrate(cards, Given()).pixel_scale
        planes = np.stack([self._on_pixels(given, plane, scale) for plane in planes])
        return np.broadcast_to(planes, (bands, *planes.shape[1:])).copy(), sha256(Path(path))

    def _on_pixels(self, given: str, psf: np.ndarray, scale: float | None) -> np.ndarray:
        """Bring a PSF (h, w) to the run's pixels and to the sum 1."""
        total = float(np.sum(psf, dtype=float))
        if not (np.isfinite(psf).all() and total > 0):
            raise GalgenError(
                f"psf={given}: its values are not finite, or their sum is not positive. Give "
                "another file."
            )
        own = self.run.pixel_scale
        if scale is None or own is None:
            log.warning("psf=%s: its pixels are taken to be those of %s", given, self.run.name)
        elif abs(scale / own - 1) > ALIKE:
            import galsim  # for PSFs of other pixels alone

            image = galsim.Image(psf.astype(float), scale=scale)
            side = 2 * int(np.ceil(max(psf.shape) * scale / own / 2)) + 1
            drawn = galsim.InterpolatedImage(image, flux=1.0, normalization="flux").drawImage(
                nx=side, ny=side, scale=own, method="no_pixel", dtype=float
            )
            psf, total = drawn.array, float(drawn.array.sum())
            log.warning(
                "psf=%s: its pixels of %.4g arcsec are resampled to %.4g", given, scale, own
            )
        return (psf / total).astype(np.float32)
