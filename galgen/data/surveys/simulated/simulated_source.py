"""A simulated survey that looks like COSMOS F814W < 25.2, in one band or several.

Every galaxy depends on (seed, its number) alone, and its parameters not on the bands.
"""

from collections.abc import Sequence

import galsim
import numpy as np

from galgen.data.bands import band_names
from galgen.data.surveys.simulated.galaxy import companion_points, galaxy_points
from galgen.data.surveys.simulated.population import draw_parameters
from galgen.data.surveys.simulated.rendering import collect, through_psf
from galgen.data.surveys.simulated.structure import SMOOTH, draw_structure
from galgen.data.surveys.simulated.telescopes import (
    PSFS,
    bands_of,
    draw_noise,
    noise_correlation,
    noise_level,
    noise_variance,
    psf_images,
    telescope_of,
)
from galgen.data.surveys.source import Source

RECIPE = 4
"""Counts the changes of the recipe; a cached survey of another one is drawn again."""
NOISELESS = ", with noiseless images"
"""End of the recipe of a survey that also holds its galaxies without noise."""
FINE = 4
"""Cells along a pixel's side, in which light that no PSF smooths is collected."""


class SimulatedSource(Source):
    """The simulated survey's galaxies.

    Args:
        galaxies: number of galaxies.
        image_size: side of the stamps, px.
        bands: `hst`, `lsst`, or names of bands of one of them.
        seed: seed of the survey.
        structure: whether galaxies have arms, bars, rings, clumps, dust, tides and companions.
        noiseless: whether to draw each galaxy twice more: `noiseless`, without the noise,
            and `psf_free`, without noise and PSF.
        **arguments: as `Source`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        galaxies: int,
        image_size: int,
        bands: str | Sequence[str],
        seed: int = 0,
        structure: bool = True,
        noiseless: bool = False,
        **arguments,
    ):
        super().__init__(**arguments)
        if galaxies < 1 or image_size < 1:
            raise ValueError(
                f"data.galaxies={galaxies} data.image_size={image_size}: both must be positive."
            )
        self.galaxies, self.image_size, self.seed = galaxies, image_size, seed
        self.structure, self.noiseless = structure, noiseless
        self.bands = band_names(bands)
        self.telescope = telescope_of(self.bands)

    def __len__(self) -> int:
        """Return the number of galaxies."""
        return self.galaxies

    def attrs(self) -> dict:
        """Return the stamp file's attributes."""
        return {
            "survey": "simulated",
            "bands": self.bands,
            "reference_band": self._reference(),
            "unit": self.telescope.unit,
            "pixel_scale": self.telescope.pixel_scale,
            "noise_correlation": noise_correlation(self.bands),
            "zero_point": [band.zero_point for band in bands_of(self.bands)],
            "recipe": self._recipe() + (NOISELESS if self.noiseless else ""),
            "versions": f"galsim {galsim.__version__}, numpy {np.__version__}",
        }

    def stamp_bytes(self) -> int:
        """Return about how many bytes a galaxy takes, with its companions."""
        return super().stamp_bytes() * len(self.bands) * (3 if self.noiseless else 1)

    def satisfied_by(self, recipe: str | None) -> bool:
        """Tell whether stamps of a recipe are these; additional companions do no harm."""
        return recipe in {self.attrs()["recipe"], self._recipe() + NOISELESS}

    def tables(self) -> dict[str, np.ndarray]:
        """Return the PSFs."""
        images = np.stack([psf_images(band) for band in self.bands], axis=1)
        return {"psf": images.astype(np.float32)}

    def start_worker(self) -> None:
        """Keep GalSim to one thread a process."""
        galsim.set_omp_threads(1)

    def _reference(self) -> str:
        reference = self.telescope.reference
        return reference if reference in self.bands else self.bands[0]

    def _recipe(self) -> str:
        structure = "" if self.structure else ", without structure"
        return (
            f"galgen simulated survey, recipe {RECIPE}, seed {self.seed}, {self.galaxies} galaxies "
            f"of {self.image_size} px in {' '.join(self.bands)}{structure}"
        )

    def draw(self, numbers: range) -> tuple[dict[str, np.ndarray], dict[int, str]]:
        """Draw galaxies by number; none fails."""
        drawn = [self._galaxy(number) for number in numbers]
        block = {name: np.array([galaxy[name] for galaxy in drawn]) for name in drawn[0]}
        for name, of_band in (("noise_variance", noise_variance), ("background", noise_level)):
            values = np.array([of_band(band) for band in self.bands], np.float32)
            block[name] = np.tile(values, (len(drawn), 1))
        return block, {}

    def _galaxy(self, number: int) -> dict[str, float | np.ndarray]:
        """Draw a galaxy: its parameters, its image, and its companions."""
        rng = np.random.default_rng([self.seed, number])
        truth = draw_parameters(rng)
        psf_index = int(rng.integers(PSFS))
        deviate = galsim.BaseDeviate(int(rng.integers(1, 2**31)))
        truth |= draw_structure(truth, rng) if self.structure else SMOOTH
        scale, size = self.telescope.pixel_scale, self.image_size
        places, flux = galaxy_points(truth, self.bands, scale, rng)
        points = np.array([band.zero_point for band in bands_of(self.bands)])
        unit = 10 ** (0.4 * (points - truth["magnitude"]))
        truth["flux"] = unit * flux.sum(axis=1)
        if truth["companion_fraction"]:
            companion = companion_points(truth, self.bands, rng)
            places, flux = (
                np.append(*pair, 1) for pair in zip((places, flux), companion, strict=True)
            )
        flux *= unit[:, None]
        truth["magnitude"] = points - 2.5 * np.log10(truth["flux"])
        seen = through_psf(places / scale, flux, size, tuple(self.bands), psf_index)
        images = {"image": seen + draw_noise(self.bands, size, deviate)}
        if self.noiseless:
            fine = collect(places / scale, flux, size, FINE)
            free = fine.reshape(len(fine), size, FINE, size, FINE).sum((2, 4))
            images |= {"noiseless": seen, "psf_free": free.astype(np.float32)}
        return {"galaxy_id": number, "psf_index": psf_index, **truth, **images}
