"""A simulated survey that looks like COSMOS F814W < 25.2, drawn with GalSim.

The recipe's numbers were tuned until sizes and shapes came near those of real COSMOS galaxies:
experiments/simulated_survey compares them. Every galaxy depends on (seed, its number) alone.
"""

from functools import cache

import astropy.units as u
import galsim
import numpy as np
from astropy.cosmology import Planck18

from galgen.data.surveys.cosmos_noise import (
    PIXEL_SCALE,
    ZERO_POINT,
    cosmos_variance,
    level_of_unit_variance,
    noise_image,
)
from galgen.data.surveys.source import Source

RECIPE = 2
"""Counts the changes of the recipe; a cached survey of another one is drawn again."""
FAINTEST, BRIGHTEST = 25.2, 18.0
LATE_RADIUS = 5.4
"""Half-light radius of late types of absolute magnitude -21 at redshift 0, kpc."""
QUICK = galsim.GSParams(folding_threshold=0.02)
"""Smaller transforms than GalSim's default; changes pixels by up to 0.5 % of the noise."""
LEAST_BULGE = 0.02
"""Fraction of the flux below which a late type has no bulge."""
PSF_SIGMAS = np.linspace(0.033, 0.036, 8)
"""Width of the Gaussian part of each PSF, arcsec."""
PSF_SIZE = 63
"""Side of the PSF images, px."""
NOISELESS = ", with noiseless images"
"""End of the recipe of a survey that also holds its galaxies without noise."""
OVERSAMPLING = 8
"""Samples of a profile along a pixel's side, where no PSF smooths it."""


class SimulatedSource(Source):
    """The simulated survey's galaxies.

    Args:
        galaxies: number of galaxies.
        image_size: side of the stamps, px.
        seed: seed of the survey.
        clumps: whether late types have star-forming clumps.
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
        seed: int = 0,
        clumps: bool = True,
        noiseless: bool = False,
        **arguments,
    ):
        super().__init__(**arguments)
        if galaxies < 1 or image_size < 1:
            raise ValueError(
                f"data.galaxies={galaxies} data.image_size={image_size}: both must be positive."
            )
        self.galaxies, self.image_size, self.seed = galaxies, image_size, seed
        self.clumps, self.noiseless = clumps, noiseless

    def __len__(self) -> int:
        """Return the number of galaxies."""
        return self.galaxies

    def attrs(self) -> dict:
        """Return the stamp file's attributes."""
        return {
            "survey": "simulated",
            "bands": ["F814W"],
            "unit": "counts/s",
            "pixel_scale": PIXEL_SCALE,
            "zero_point": [ZERO_POINT],
            "recipe": self._recipe() + (NOISELESS if self.noiseless else ""),
            "versions": f"galsim {galsim.__version__}, numpy {np.__version__}",
        }

    def stamp_bytes(self) -> int:
        """Return about how many bytes a galaxy takes, with its companions."""
        return super().stamp_bytes() * (3 if self.noiseless else 1)

    def satisfied_by(self, recipe: str | None) -> bool:
        """Tell whether stamps of a recipe are these; additional companions do no harm."""
        return recipe in {self.attrs()["recipe"], self._recipe() + NOISELESS}

    def tables(self) -> dict[str, np.ndarray]:
        """Return the PSFs."""
        return {"psf": np.stack([image.array for image in _psf_images()]).astype(np.float32)}

    def start_worker(self) -> None:
        """Keep GalSim to one thread a process."""
        galsim.set_omp_threads(1)

    def _recipe(self) -> str:
        clumps = "" if self.clumps else ", without clumps"
        return (
            f"galgen simulated survey, recipe {RECIPE}, seed {self.seed}, {self.galaxies} galaxies "
            f"of {self.image_size} px{clumps}"
        )

    def draw(self, numbers: range) -> tuple[dict[str, np.ndarray], dict[int, str]]:
        """Draw galaxies by number; none fails."""
        stacks, rows = [], []
        for number in numbers:
            rng = np.random.default_rng([self.seed, number])
            deviate = galsim.BaseDeviate(int(rng.integers(1, 2**31)))
            truth = draw_parameters(rng)
            if not self.clumps:
                truth |= {"clumps": 0, "clump_fraction": 0.0}
            psf_index = int(rng.integers(len(PSF_SIGMAS)))
            stacks.append(self._images(truth, psf_index, deviate))
            rows.append({"galaxy_id": number, "psf_index": psf_index, **truth})
        block = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        block |= {name: np.stack([images[name] for images in stacks]) for name in stacks[0]}
        variance = np.full(len(rows), cosmos_variance(), np.float32)
        block["noise_variance"] = variance
        block["background"] = level_of_unit_variance() * np.sqrt(variance)
        return block, {}

    def _images(
        self, truth: dict[str, float], psf_index: int, deviate: galsim.BaseDeviate
    ) -> dict[str, np.ndarray]:
        """Draw a galaxy's image, counts/s, and its companions."""
        size, parts = self.image_size, components(truth, deviate)
        image = galsim.Image(size, size, scale=PIXEL_SCALE, init_value=0, dtype=np.float32)
        for part in parts:  # apart, their transforms are 3 times smaller
            galaxy = galsim.Convolve(part, _psfs()[psf_index], gsparams=QUICK)
            galaxy.drawImage(image, method="no_pixel", add_to_image=True)
        images = {"image": image.array + noise_image(size, deviate)}
        if self.noiseless:
            images["noiseless"] = image.array
            images["psf_free"] = sum(_without_psf(part, size) for part in parts)
        return images


def draw_parameters(rng: np.random.Generator) -> dict[str, float]:
    """Draw a galaxy's physical parameters.

    Returns:
        `redshift`; `magnitude` (AB); `flux` (counts/s); `early_type` (0 or 1); `flux_radius`
        (circularised half-light radius before the bulge, arcsec); `sersic_index`; `axis_ratio`;
        `position_angle` (degrees, from the x axis); `bulge_fraction`; `clumps` (number) and
        `clump_fraction` (of the disc's flux).
    """
    magnitude = _magnitude(rng.random())
    z0 = (0.66 + 0.16 * (magnitude - 22.25)) / 1.412
    # z^2 exp(-(z/z0)^1.5) is a gamma distribution of (z/z0)^1.5 with shape 3 / 1.5.
    redshift = float(np.clip(z0 * rng.gamma(2.0) ** (1 / 1.5), 0.02, 6.0))
    distance_modulus, kpc_per_arcsec = _cosmology()
    absolute = magnitude - distance_modulus(redshift) + 2.5 * np.log10(1 + redshift)
    early_share = 0.05 + 0.25 / (1 + np.exp((magnitude - 23.5) / 0.8)) * np.exp(
        -0.5 * max(redshift - 0.8, 0)
    )
    early = bool(rng.random() < early_share)
    if early:
        log_kpc = (
            np.log10(0.8 * LATE_RADIUS) - 0.24 * (absolute + 21) - 1.48 * np.log10(1 + redshift)
        )
        log_kpc += rng.normal(0, 0.16)
        sersic, axis_ratio = rng.lognormal(np.log(3.2), 0.35), rng.normal(0.71, 0.14)
    else:
        log_kpc = np.log10(LATE_RADIUS) - 0.13 * (absolute + 21) - 0.75 * np.log10(1 + redshift)
        log_kpc += rng.normal(0, 0.2)
        sersic, axis_ratio = rng.lognormal(np.log(1.05), 0.45), rng.beta(4.1, 4.15)
    bulge = 0.0 if early else float(rng.beta(0.5, 6.0))
    radius = float(np.clip(10**log_kpc / kpc_per_arcsec(redshift), 0.04, 1.2))
    return {
        "redshift": redshift,
        "magnitude": magnitude,
        "flux": 10 ** (0.4 * (ZERO_POINT - magnitude)),
        "early_type": int(early),
        "flux_radius": radius,
        # GalSim tabulates each index once, so indices come in steps.
        "sersic_index": round(float(np.clip(sersic, 0.4, 5.5)) / 0.05) * 0.05,
        "axis_ratio": float(np.clip(axis_ratio, 0.15, 1.0)),
        "position_angle": rng.uniform(0, 180),
        "bulge_fraction": bulge if bulge > LEAST_BULGE else 0.0,
        "clumps": 0 if early else int(rng.integers(5, 31)),
        "clump_fraction": 0.0 if early else float(min(rng.beta(2, 10) * (1 + redshift), 0.6)),
    }


def components(truth: dict[str, float], deviate: galsim.BaseDeviate) -> list[galsim.GSObject]:
    """Build a galaxy: a Sersic profile, with a bulge (n=4) and clumps in late types."""
    radius, flux = truth["flux_radius"], truth["flux"]
    bulge, clumps = truth["bulge_fraction"], truth["clump_fraction"]
    shear = galsim.Shear(q=truth["axis_ratio"], beta=truth["position_angle"] * galsim.degrees)
    disc_flux = flux * (1 - bulge) * (1 - clumps)
    disc = galsim.Sersic(truth["sersic_index"], half_light_radius=radius, flux=disc_flux)
    parts = [disc.shear(shear)]
    if clumps:
        places = galsim.Exponential(half_light_radius=radius, flux=flux * (1 - bulge) * clumps)
        parts.append(galsim.RandomKnots(truth["clumps"], profile=places, rng=deviate).shear(shear))
    if bulge:
        bulge_radius = max(0.5 * radius, 0.04)
        parts.append(galsim.DeVaucouleurs(half_light_radius=bulge_radius, flux=flux * bulge))
    return parts


def _magnitude(quantile: float) -> float:
    """Invert the cumulative distribution of a 10^(0.32 m) law between the limits."""
    faint, bright = 10 ** (0.32 * FAINTEST), 10 ** (0.32 * BRIGHTEST)
    return float(np.log10(bright + quantile * (faint - bright)) / 0.32)


@cache
def _cosmology():
    """Tabulate distance modulus and kpc/arcsec against redshift."""
    grid = np.geomspace(0.01, 6.5, 400)
    modulus = Planck18.distmod(grid).value
    kpc = (Planck18.kpc_proper_per_arcmin(grid).to(u.kpc / u.arcsec)).value
    return (lambda z: np.interp(z, grid, modulus)), (lambda z: np.interp(z, grid, kpc))


@cache
def _psf_images() -> list[galsim.Image]:
    """Draw the PSFs: an ACS-like Airy disc, the native pixel and a Gaussian; each of sum 1."""
    optics = galsim.Convolve(galsim.Airy(lam=814, diam=2.4, obscuration=0.33), galsim.Pixel(0.05))
    images = []
    for sigma in PSF_SIGMAS:
        psf = galsim.Convolve(optics, galsim.Gaussian(sigma=sigma))
        image = psf.drawImage(nx=PSF_SIZE, ny=PSF_SIZE, scale=PIXEL_SCALE, method="no_pixel")
        images.append(image / image.array.sum())
    return images


@cache
def _psfs() -> list[galsim.GSObject]:
    # A pre-drawn PSF convolves 1.6 times as fast as the product of its three parts.
    return [galsim.InterpolatedImage(image, flux=1.0, pad_factor=2) for image in _psf_images()]


def _without_psf(part: galsim.GSObject, size: int) -> np.ndarray:
    """Integrate a component over the pixels, with no PSF in front."""
    if isinstance(part, galsim.RandomKnots):
        x, y = part.points.T / PIXEL_SCALE
        edges = np.arange(size + 1) - size / 2
        flux = part.flux / len(x)
        return np.histogram2d(y, x, (edges, edges))[0].astype(np.float32) * np.float32(flux)
    fine = size * OVERSAMPLING
    image = part.drawImage(nx=fine, ny=fine, scale=PIXEL_SCALE / OVERSAMPLING, method="no_pixel")
    return image.array.reshape(size, OVERSAMPLING, size, OVERSAMPLING).sum((1, 3))
