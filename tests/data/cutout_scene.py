"""Cutouts of Gaussian galaxies in two bands, and the source of their stamps."""

from pathlib import Path

import numpy as np
from astropy.io import fits

from galgen.data.surveys.cutouts.cutouts import Cutouts
from galgen.data.surveys.cutouts.cutouts_source import CutoutsSource

SIDE, SKY, NOISE = 32, 5.0, 0.5
HEADER = fits.Header(
    {
        **{"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 16.5, "CRPIX2": 16.5},
        **{"CDELT1": -0.03 / 3600, "CDELT2": 0.03 / 3600, "CRVAL1": 150.0, "CRVAL2": 2.2},
        **{"BUNIT": "nJy", "FILTER": "F115W"},
    }
)


def galaxy(seed: int, side: int = SIDE, centre: tuple[float, float] | None = None) -> np.ndarray:
    """A galaxy of flux 1000 (1 + seed) on the sky, (side, side); its centre is at side // 2."""
    y, x = np.mgrid[:side, :side]
    top, left = (side // 2, side // 2) if centre is None else centre
    light = np.exp(-0.5 * ((y - top) ** 2 + (x - left) ** 2) / 2**2) / (2 * np.pi * 2**2)
    noise = np.random.default_rng(seed).normal(SKY, NOISE, (side, side))
    return (1000 * (1 + seed) * light + noise).astype(np.float32)


def write(path: Path, image: np.ndarray, **keywords) -> None:
    """Write a FITS cutout with the header, changed by some keywords; None removes one."""
    header = HEADER.copy()
    for name, value in keywords.items():
        header.update({name: value}) if value is not None else header.remove(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.writeto(path, image, header, overwrite=True)


def write_bands(folder: Path, ids=range(8), **keywords) -> dict[str, str]:
    """Write galaxies in two bands, the second twice as bright; return the patterns."""
    for number in ids:
        write(folder / "f115w" / f"field_{number}.fits", galaxy(int(number)), **keywords)
        image = 2 * galaxy(int(number))
        write(
            folder / "f150w" / f"field_{number}_v2.fits", image, **{"FILTER": "F150W", **keywords}
        )
    patterns = {"F115W": "f115w/field_{id}.fits", "F150W": "f150w/*_{id}_v2.fits"}
    return {band: f"{folder}/{pattern}" for band, pattern in patterns.items()}


def opened(images, image_size: int | None = None, **options) -> CutoutsSource:
    bands = options.pop("data_bands", None)
    source = CutoutsSource(Cutouts(images, **options), image_size, bands)
    source.open()
    return source
