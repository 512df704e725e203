"""A mosaic of Gaussian galaxies, and the truth about them."""

import gzip

import numpy as np
from astropy.table import Table
from astropy.wcs import WCS

from galgen.data.surveys.source import Source

SHAPE = 240, 300
SIZE = 32
SKY, NOISE, SCALE = 5.0, 1.0, 0.1


def sky_wcs() -> WCS:
    """A tangential projection, turned by 30 degrees."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval, wcs.wcs.crpix = (150.0, 2.2), (100.0, 50.0)
    turn = np.deg2rad(30)
    wcs.wcs.cd = np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * (
        SCALE / 3600
    )
    return wcs


WORLD = sky_wcs()
HEADER = WORLD.to_header()


def scene() -> tuple[np.ndarray, Table]:
    """Gaussian galaxies 45 px apart in white noise, and their truth."""
    rng = np.random.default_rng(1)
    y, x = (grid.ravel() + 30.0 for grid in np.mgrid[:200:45, :260:45])
    truth = Table({"x": x + rng.uniform(-4, 4, x.size), "y": y + rng.uniform(-4, 4, x.size)})
    truth["flux"], truth["sigma"] = rng.uniform(1000, 4000, len(x)), rng.uniform(1.8, 2.8, len(x))
    sky = WORLD.pixel_to_world(truth["x"], truth["y"])
    truth["ra"], truth["dec"] = sky.ra, sky.dec
    truth["z"] = rng.uniform(0.1, 3, len(x)).round(3)
    truth["id"] = rng.permutation(len(x)) + 1000
    image = rng.normal(SKY, NOISE, SHAPE)
    for row in truth:
        image += gaussian(row["x"], row["y"], row["flux"], row["sigma"])
    return image.astype(np.float32), truth


def gaussian(x: float, y: float, flux: float, sigma: float) -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    square = (columns - x) ** 2 + (rows - y) ** 2
    return flux * np.exp(-0.5 * square / sigma**2) / (2 * np.pi * sigma**2)


IMAGE, TRUTH = scene()


def write_catalogue(table: Table, path) -> None:
    formats = {"fits": "fits", "ecsv": "ascii.ecsv", "csv": "ascii.csv", "vot": "votable"}
    name = path.name.removesuffix(".gz")
    table.write(path.with_name(name), format=formats[name.split(".")[-1]])
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(path.with_name(name).read_bytes()))


def drawn(source: Source) -> dict[str, np.ndarray]:
    arrays, reasons = source.draw(range(len(source)))
    assert reasons == {}
    return arrays


def truth_of(stamps: dict[str, np.ndarray]) -> tuple[Table, np.ndarray]:
    """The true galaxy of each stamp, and its distance in px."""
    distance = np.hypot(
        stamps["x"][:, None] - TRUTH["x"].data, stamps["y"][:, None] - TRUTH["y"].data
    )
    return TRUTH[distance.argmin(1)], distance.min(1)
