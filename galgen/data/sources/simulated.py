"""A simulated survey that looks like COSMOS F814W < 25.2, drawn with GalSim.

The recipe's numbers were tuned until sizes and shapes came near those of real COSMOS galaxies:
experiments/simulated_survey compares them. Every galaxy depends on (seed, its number) alone.
"""

import logging
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import astropy.units as u
import galsim
import numpy as np
from astropy.cosmology import Planck18
from filelock import FileLock
from rich.progress import track

from galgen.data.stamps import StampFile, write_stamps
from galgen.errors import GalgenError

log = logging.getLogger(__name__)

PIXEL_SCALE = 0.03
"""arcsec"""
ZERO_POINT = 25.94
"""AB magnitude of one count a second."""
RECIPE = 1
"""Counts the changes of the recipe; a cached survey of another one is drawn again."""
FAINTEST, BRIGHTEST = 25.2, 18.0
LATE_RADIUS = 5.5
"""Half-light radius of late types of absolute magnitude -21 at redshift 0, kpc."""
PSF_SIGMAS = np.linspace(0.033, 0.036, 8)
"""Width of the Gaussian part of each PSF, arcsec."""
PSF_SIZE = 63
"""Side of the PSF images, px."""
TOGETHER = 64
"""Galaxies that a process draws at a time."""


def draw_survey(
    path: Path, galaxies: int, image_size: int, seed: int, processes: int | None = None
) -> None:
    """Draw a survey into a stamp file, unless it is there already.

    Args:
        path: the stamp file; it appears when it is complete.
        galaxies: number of galaxies.
        image_size: side of the stamps, px.
        seed: seed of the survey.
        processes: processes that draw; all cores where None. The stamps do not depend on it.
    """
    attrs = {
        "survey": "simulated",
        "band": "F814W",
        "pixel_scale": PIXEL_SCALE,
        "zero_point": ZERO_POINT,
        "recipe": f"galgen simulated survey, recipe {RECIPE}, seed {seed}",
        "versions": f"galsim {galsim.__version__}, numpy {np.__version__}",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):  # a second training waits, and finds the survey drawn
        if path.exists() and _holds(path, galaxies, image_size, attrs["recipe"]):
            return
        log.info("drawing %d simulated galaxies of %d px into %s", galaxies, image_size, path)
        psf = np.stack([image.array for image in _psf_images()])
        blocks = _blocks(galaxies, image_size, seed, processes or os.cpu_count())
        write_stamps(path, blocks, attrs, psf)


def _blocks(
    galaxies: int, image_size: int, seed: int, processes: int
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Draw blocks of galaxies in order, on several processes."""
    ranges = [range(i, min(i + TOGETHER, galaxies)) for i in range(0, galaxies, TOGETHER)]
    draw = partial(draw_galaxies, image_size=image_size, seed=seed)
    # Threads of torch must not be forked; a fresh interpreter costs two seconds.
    executor = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_start_worker)
    try:
        yield from track(
            executor.map(draw, ranges), total=len(ranges), description="drawing galaxies"
        )
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C and stops the workers
    galsim.set_omp_threads(1)


def draw_galaxies(
    numbers: range, image_size: int, seed: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draw galaxies by number.

    Args:
        numbers: numbers of the galaxies.
        image_size: side of the stamps, px.
        seed: seed of the survey.

    Returns:
        Images (n, image_size, image_size), counts/s, and their catalogue, a column a quantity.
    """
    noise = _noise()
    images, rows = [], []
    for number in numbers:
        rng = np.random.default_rng([seed, number])
        deviate = galsim.BaseDeviate(int(rng.integers(1, 2**31)))
        truth = draw_parameters(rng)
        psf_index = int(rng.integers(len(PSF_SIGMAS)))
        image = galsim.Image(image_size, image_size, scale=PIXEL_SCALE, init_value=0)
        for component in components(truth, deviate):  # apart, their transforms are 3 times smaller
            galaxy = galsim.Convolve(component, _psfs()[psf_index])
            galaxy.drawImage(image, method="no_pixel", add_to_image=True)
        image.addNoise(noise.copy(rng=deviate))
        images.append(image.array)
        rows.append({"galaxy_id": number, "psf_index": psf_index, **truth})
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    columns["noise_variance"] = np.full(len(rows), noise.getVariance(), np.float32)
    columns["background"] = np.full(len(rows), _background(), np.float32)
    return np.stack(images).astype(np.float32), columns


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
        sersic, axis_ratio = rng.lognormal(np.log(3.2), 0.35), rng.normal(0.72, 0.16)
    else:
        log_kpc = np.log10(LATE_RADIUS) - 0.13 * (absolute + 21) - 0.75 * np.log10(1 + redshift)
        log_kpc += rng.normal(0, 0.2)
        sersic, axis_ratio = rng.lognormal(np.log(1.05), 0.45), rng.beta(2.6, 2.6)
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
        "bulge_fraction": 0.0 if early else float(rng.beta(0.5, 6.0)),
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
def _noise() -> galsim.CorrelatedNoise:
    """Return the correlated noise of the COSMOS mosaics, as GalSim ships it."""
    return galsim.getCOSMOSNoise()


@cache
def _background() -> float:
    """Return the level of the peak transform: sqrt(noise power spectrum) at frequency zero."""
    correlation = _noise().drawImage(galsim.Image(64, 64, scale=PIXEL_SCALE))
    return float(np.sqrt(correlation.array.sum()))


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
    return [galsim.InterpolatedImage(image, flux=1.0) for image in _psf_images()]


def _holds(path: Path, galaxies: int, image_size: int, recipe: str) -> bool:
    """Tell whether a file of the cache is the survey; one that is not may be replaced."""
    try:
        stamps = StampFile(path)
    except GalgenError as error:
        log.warning("%s; it is drawn again", error)
        return False
    found = (len(stamps), stamps.size, stamps.attrs.get("recipe"))
    if found != (galaxies, image_size, recipe):
        log.warning("%s is of another recipe or size; it is drawn again", path)
        return False
    return True
