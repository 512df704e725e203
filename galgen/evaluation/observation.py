"""What generated galaxies are compared with, and how both are brought to the same footing."""

import numpy as np
import torch

from galgen.data.augmentation import crop
from galgen.data.edges import edge_variance
from galgen.data.noise_correlation import draw_survey_noise
from galgen.data.psfs import read_psfs
from galgen.models.telescope import convolve
from galgen.runs.image_facts import PEAK
from galgen.runs.trained_run import TrainedRun

CORE = ("log_flux", "sigma", "ellipticity", "rho4", "concentration")
"""Statistics whose mean distance is the headline."""
RESIDUAL = ("residual_flux", "residual_power", "clumps")
STATISTICS = (*CORE, "half_light_radius", "gini", "m20", "asymmetry", *RESIDUAL)
"""Statistics that are compared."""
STRUCTURE = ("gini", "m20", "asymmetry", "smoothness", *RESIDUAL)
"""Statistics of structure, which have a score of their own."""
SURVIVING = ("sigma", "ellipticity", "rho4", "half_light_radius")
"""Statistics that noise hardly changes; noisy galaxies are compared with noiseless ones by them."""
READ_BLOCK = 256


class Observation:
    """The footing on which galaxies of a run's survey and generated ones are compared.

    A model in physical units makes galaxies without noise: they get the noise of the survey, and
    its PSF if they have none. A model of peak-normalised galaxies is compared with the simulated
    survey's noiseless images, normalised alike; where there are none, with noisy stamps, in the
    statistics that noise hardly changes.

    Args:
        run: the trained run.

    Attributes:
        statistics: names of those that are compared.
        core: those of them that the headline is of.
        structure: names of the statistics of structure, where they can be compared.
        bands: names of the bands whose colours are compared; none where there is one band.
        what: a sentence that describes the comparison.
        alike: whether both are free of noise, or both have it, so that any feature of the images
            can be compared.
        notes: what else a reader has to know.
    """

    def __init__(self, run: TrainedRun):
        self.run, self.survey = run, run.survey
        self.peak = run.unit == PEAK
        self.noiseless = self.peak and "noiseless" in self.survey.stamps.stacks
        self.statistics, self.core, self.notes = STATISTICS, CORE, []
        self.structure = STRUCTURE
        self.alike = self.noiseless or not self.peak
        noise = "white noise"
        if self.survey.stamps.noise_correlation is not None:
            noise = "noise of the survey's correlation"
        self.what = f"stamps of the survey against generated galaxies with fresh {noise}"
        if self.noiseless:
            self.what = (
                "noiseless images of the survey, peak-normalised, against generated galaxies as "
                "they are"
            )
        elif self.peak:
            self.statistics = self.core = SURVIVING
            self.structure = None
            self.what = (
                "stamps of the survey with noise, generated galaxies without it, by the statistics "
                "that noise hardly changes"
            )

        if not self.alike:
            self.notes.append("no features of images are compared, since one side alone has noise")
        self.bands = run.bands if self._has_colours() else []
        known = "noise_variance" in self.survey.stamps.columns
        if not self.peak and not known:
            self.notes.append("the noise is not known: it is estimated by the edge of each stamp")

    def _has_colours(self) -> bool:
        """Say whether colours can be compared; note why not, where a survey has them."""
        if self.run.model.bands == 1:
            return False
        if not self.alike:
            self.notes.append("no colours are compared, since one side alone has noise")
        elif getattr(self.run.transform, "per_band", False):
            self.notes.append("no colours are compared: each band is divided by a peak of its own")
        else:
            return True
        return False

    def usable(self, part: str) -> np.ndarray:
        """Return the positions of the galaxies of a part that can be compared, ascending.

        The peak normalisation subtracts more than the whole light of the faintest noiseless images.
        """
        positions = np.arange(len(self.survey.parts[part]))
        if not self.noiseless or not len(positions):
            return positions
        blocks = np.array_split(positions, -(-len(positions) // READ_BLOCK))
        seen = np.concatenate([self._real(part, b).any(axis=(1, 2, 3)) for b in blocks if len(b)])
        if not seen.all():
            self.notes.append(
                f"{np.count_nonzero(~seen)} of {len(seen)} galaxies of the part '{part}' are left "
                "out: the normalisation leaves no light of their noiseless image"
            )
        return positions[seen]

    def real(self, part: str, positions: np.ndarray) -> np.ndarray:
        """Return galaxies of a part by their positions (n,) in it, as they are measured.

        Pixels of weight 0 are 0, as all are in the bands that a galaxy lacks.
        """
        blocks = [
            self._real(part, positions[start : start + READ_BLOCK])
            for start in range(0, len(positions), READ_BLOCK)
        ]
        return self._masked(np.concatenate(blocks), part, positions)

    def has_band(self, part: str, positions: np.ndarray) -> np.ndarray:
        """Return which galaxies of a part have which bands, (n, B) of bool."""
        return self.survey.stamps.has_band[self.survey.parts[part].rows[positions]]

    def variance(self, part: str, positions: np.ndarray) -> np.ndarray | None:
        """Return the noise variance of galaxies by band, (n, B); None where it is not known.

        It is NaN in the bands that a galaxy lacks.
        """
        column = self.survey.stamps.columns.get("noise_variance")
        if self.peak or column is None:
            return None
        variance = column[self.survey.parts[part].rows[positions]].astype(float)
        return np.where(self.has_band(part, positions), variance, np.nan)

    def generated(self, images: np.ndarray, positions: np.ndarray, seed: int) -> np.ndarray:
        """Return generated galaxies as they are measured.

        Args:
            images: light (N, B, s H, s W), in the run's unit.
            positions: of the test galaxies whose PSFs, noise and masks they get, (N,).
            seed: of the noise.
        """
        if self.run.model.psf_free:
            psfs = torch.from_numpy(self.psfs(positions))
            images = convolve(torch.from_numpy(images), psfs, self.run.model.oversampling).numpy()
        if not self.peak:
            return self.with_noise(images, positions, seed)
        return self._masked(images, "test", positions)

    def with_noise(self, images: np.ndarray, positions: np.ndarray, seed: int) -> np.ndarray:
        """Add the noise of test galaxies at positions (N,) to images (N, B, H, W)."""
        variance = self.variance("test", positions)
        if variance is None or not np.isfinite(variance).all():
            by_edge = edge_variance(self.real("test", positions))
            variance = by_edge if variance is None else np.where(variance >= 0, variance, by_edge)
        noisy = images + self.noise(np.sqrt(variance), seed)
        return self._masked(noisy, "test", positions)

    def _masked(self, images: np.ndarray, part: str, positions: np.ndarray) -> np.ndarray:
        """Set images (n, B, H, W) to 0 where the stamps of a part have pixels of weight 0."""
        stamps, rows = self.survey.stamps, self.survey.parts[part].rows[positions]
        if "weight" not in stamps.stacks:
            return images
        masked = np.empty_like(images)
        for start in range(0, len(rows), READ_BLOCK):
            block = slice(start, start + READ_BLOCK)
            weight = stamps.read(rows[block], self.run.model.image_size, "weight")
            masked[block] = np.where(weight > 0, images[block], 0)
        return masked

    def noise(self, sigma: np.ndarray, seed: int) -> np.ndarray:
        """Draw noise of standard deviations (n, B) like the survey's, (n, B, H, W) float32."""
        size, rng = self.run.model.image_size, np.random.default_rng(seed)
        noise = draw_survey_noise(self.survey.stamps, len(sigma), size, rng)
        return noise * sigma[..., None, None].astype(np.float32)

    def normalised(self, images: np.ndarray, part: str, positions: np.ndarray) -> np.ndarray:
        """Return noiseless light (n, B, H, W) as the transform leaves it, in the run's unit."""
        batch = self.survey.parts[part].batch(torch.from_numpy(positions))
        batch.image = crop(torch.from_numpy(images), self.run.model.image_size)
        return self.run.physical(self.survey.transform(batch).image)

    def _real(self, part: str, positions: np.ndarray) -> np.ndarray:
        if not self.noiseless:
            return self.run.physical(self.survey.batch(part, positions).image)
        rows = self.survey.parts[part].rows[positions]
        size = self.run.model.image_size
        light = self.survey.stamps.read(rows, size, "noiseless")
        return self.normalised(light, part, positions)

    def light(self, positions: np.ndarray) -> np.ndarray | None:
        """Return the true light of test galaxies (n,) in the reference band, (n, H, W).

        None where the survey does not have it, or the model's galaxies do not compare with it.
        """
        if not self.run.model.psf_free or "psf_free" not in self.survey.stamps.stacks:
            return None
        rows = self.survey.parts["test"].rows[positions]
        light = self.survey.stamps.read(rows, self.run.model.image_size, "psf_free")
        return light[:, self.run.reference]

    def psfs(self, positions: np.ndarray) -> np.ndarray:
        """Return the PSFs of test galaxies at positions (n,), (n, B, h, w)."""
        return read_psfs(self.survey.stamps, self.survey.parts["test"].rows[positions])
