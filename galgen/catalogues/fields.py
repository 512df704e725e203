"""Mock fields: many generated galaxies on one sky, a cell of the sky at a time."""

import logging
import math
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import galsim
import numpy as np
import torch
from threadpoolctl import threadpool_limits

from galgen.catalogues.galsim_galaxies import light_scale
from galgen.data.edges import without_edge
from galgen.data.surveys.cutouts.calibration import Given, calibrate
from galgen.data.surveys.cutouts.cutout_files import Unusable, read_file
from galgen.data.surveys.fits_files import file_and_part
from galgen.errors import GalgenError
from galgen.evaluation.morphology.whole_stamps import half_light_radius
from galgen.files import check_file
from galgen.priors.fitted import CONDITIONS, path_of
from galgen.runs.image_facts import PEAK
from galgen.runs.requested_conditions import learned_conditions
from galgen.runs.trained_run import TrainedRun

CELL = 512
"""Side of a cell of the sky, px."""
STREAM = 17
"""First number of the seed of a cell's random numbers."""
MOFFAT_BETA = 3.5
"""Of a PSF that is given by its FWHM."""
WINGS = 2.5
"""Radius that holds 99 % of such a PSF, in FWHM."""
BLOCK = 256
"""Galaxies that are generated at a time."""
GALAXIES = 1000
"""That are worth another process."""
MARGIN = 256
"""How far from its cell a galaxy's light reaches at most, px."""
NONE = "none"
"""A PSF that is none."""
COLUMNS = {
    "galaxy_id": "i8",
    "x": "f8",
    "y": "f8",
    "redshift": "f4",
    "requested_magnitude": "f4",
    "requested_size": "f4",
    "flux": "f4",
    "magnitude": "f4",
    "half_light_radius": "f4",
}
"""Of the table of true galaxies."""


@dataclass(frozen=True)
class MockSky:
    """What a field shows; its galaxies and its noise follow from it alone."""

    run: str
    """Run directory or released model."""
    size: float
    """Side, arcmin."""
    pixel_scale: float
    """arcsec"""
    density: float
    """Galaxies of an arcmin², at all magnitudes of the survey."""
    faintest: float | None
    """Faintest AB magnitude that is drawn."""
    psf: str
    """`none`, the FWHM of a Moffat profile in arcsec, or a FITS file."""
    noise: float
    """Standard deviation of a pixel, in the run's unit."""
    shear: tuple[float, float]
    """Reduced shear of all galaxies."""
    magnification: float
    band: str
    prior: str
    seed: int

    @property
    def side(self) -> int:
        """Side of the image, px."""
        return max(1, round(60 * self.size / self.pixel_scale))

    @property
    def cells(self) -> int:
        """Cells along a side."""
        return math.ceil(self.side / CELL)


class Field:
    """A field, drawn cell by cell, the same with any number of processes.

    Args:
        sky: what it shows.
        run: whose galaxies it shows, if that is loaded already.
        processes: that draw it; as many as its galaxies are worth where None.

    Raises:
        GalgenError: if the PSF cannot be read.
    """

    def __init__(self, sky: MockSky, run: TrainedRun | None = None, processes: int | None = None):
        self.sky, self.run = sky, run
        edges = np.minimum(CELL * np.arange(sky.cells + 1), sky.side)
        areas = np.multiply.outer(np.diff(edges), np.diff(edges)) * (sky.pixel_scale / 60) ** 2
        counts = [
            np.random.default_rng([STREAM, sky.seed, cell, 0]).poisson(sky.density * area)
            for cell, area in enumerate(areas.reshape(-1))
        ]
        self.firsts = np.concatenate([[0], np.cumsum(counts)]).tolist()
        cores = len(os.sched_getaffinity(0))
        self.processes = processes or max(1, min(cores, len(self) // GALAXIES))
        read_psf(sky.psf)

    def __len__(self) -> int:
        """Number of galaxies, those fainter than the faintest among them."""
        return self.firsts[-1]

    def strips(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Draw the field from its first row on, in the memory of a row of cells.

        Yields:
            The next rows of the image, (n, side) float32, and a table of galaxies.
        """
        cells, side = self.sky.cells, self.sky.side
        strip = np.zeros((CELL + 2 * MARGIN, side + CELL + 2 * MARGIN), np.float32)
        tables: list[np.ndarray] = []
        for cell, (image, table) in enumerate(self._drawn()):
            row, column = divmod(cell, cells)
            strip[:, column * CELL :][:, : image.shape[1]] += image
            tables.append(table)
            if column == cells - 1:
                # What later cells add to begins a row of cells below the strip's first row.
                complete = CELL if row < cells - 1 else len(strip)
                top = row * CELL - MARGIN
                rows = strip[max(0, -top) : min(complete, side - top), MARGIN : MARGIN + side]
                yield self._with_noise(rows, max(top, 0)), np.concatenate(tables)
                tables = []
                strip[:-CELL] = strip[CELL:]
                strip[-CELL:] = 0

    def _with_noise(self, rows: np.ndarray, first: int) -> np.ndarray:
        """Add noise to rows of the image, the first of which has a number."""
        if not self.sky.noise:
            return rows.copy()
        rng = np.random.default_rng([STREAM, self.sky.seed, first, 1])
        return rows + np.float32(self.sky.noise) * rng.standard_normal(rows.shape, np.float32)

    def _drawn(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Draw the cells in their order, in processes of their own if there are several."""
        jobs = [(cell, *self.firsts[cell : cell + 2]) for cell in range(self.sky.cells**2)]
        if self.processes == 1 or len(jobs) == 1:
            drawing = Drawing(self.sky, self.run)
            yield from (drawing.cell(*job) for job in jobs)
            return
        workers = min(self.processes, len(jobs))
        with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (self.sky,)) as pool:
            waiting = [pool.submit(_draw, job) for job in jobs[: 2 * workers]]
            for following in range(2 * workers, len(jobs) + 2 * workers):
                yield waiting.pop(0).result()
                if following < len(jobs):
                    waiting.append(pool.submit(_draw, jobs[following]))
                if not waiting:
                    return


class Drawing:
    """What draws the cells of a sky in one process.

    Args:
        sky: what it shows.
        run: whose galaxies it draws, if that is loaded already.
    """

    def __init__(self, sky: MockSky, run: TrainedRun | None = None):
        self.sky, self.run = sky, run or TrainedRun(sky.run, "cpu")
        self.learned = learned_conditions(self.run) if has_conditions(self.run) else None
        self.psf, self.method = read_psf(sky.psf)
        self.band = self.run.bands.index(sky.band)

    def cell(self, cell: int, first: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw the galaxies `first` to `stop - 1`, whose centres lie in a cell.

        Returns:
            The cell with a margin on each side, (CELL + 2 MARGIN, CELL + 2 MARGIN) float32, and a
            table of its galaxies.
        """
        sky, side = self.sky, CELL + 2 * MARGIN
        image = galsim.ImageF(side, side, scale=sky.pixel_scale)
        table = np.zeros(stop - first, list(COLUMNS.items()))
        table["galaxy_id"] = np.arange(first, stop)
        corner = CELL * np.array(divmod(cell, sky.cells)[::-1])
        place = np.random.default_rng([STREAM, sky.seed, cell, 2]).random((stop - first, 2))
        extent = np.minimum(CELL, sky.side - corner)
        inside = place * extent
        table["x"], table["y"] = (corner + inside + 0.5).T
        kept = np.ones(len(table), bool)
        for start in range(0, len(table), BLOCK):
            rows = table[start : start + BLOCK]
            light = self._light(rows, first + start)
            if sky.faintest is not None:
                kept[start : start + BLOCK] = rows["magnitude"] <= sky.faintest
            for row in np.flatnonzero(kept[start : start + BLOCK]):
                self._draw(image, light[row], *(inside[start + row] + MARGIN + 0.5))
        return image.array, table[kept]

    def _light(self, table: np.ndarray, first: int) -> np.ndarray:
        """Generate the galaxies of a table, and fill in what they are, (n, side, side)."""
        run, n = self.run, len(table)
        values = {}
        if self.learned is not None:
            known = run.priors[self.sky.prior].conditions
            drawn = self.learned.draw(self.sky.seed, first, n)
            values = {name: drawn[name].astype(np.float32) for name in drawn if name in known}
        for name in ("redshift", "magnitude", "size"):
            column = name if name == "redshift" else f"requested_{name}"
            table[column] = values.get(name, np.nan)
        light = run.make(n, values, self.sky.prior, self.sky.seed, first)[:, self.band]
        total = light.sum(axis=(1, 2), dtype=float)
        # Negative light in the corners of a bright galaxy would be a dark frame around it.
        light = np.clip(without_edge(light), 0, None)
        kept = light.sum(axis=(1, 2), dtype=float)
        light *= np.divide(total, kept, out=np.zeros(n), where=kept > 0)[:, None, None]
        flux = total * self.sky.magnification
        point = run.zero_points[self.band]
        with np.errstate(divide="ignore", invalid="ignore"):
            table["magnitude"] = (math.nan if point is None else point) - 2.5 * np.log10(flux)
        table["flux"] = flux
        scale = light_scale(run)
        larger = math.sqrt(self.sky.magnification)
        table["half_light_radius"] = half_light_radius(light) * scale * larger
        return light

    def _draw(self, image: galsim.Image, light: np.ndarray, x: float, y: float) -> None:
        """Add a galaxy to an image at a place, counted from 1 at the middle of the first pixel."""
        total = light.sum(dtype=float)
        if not (np.isfinite(total) and total > 0):
            return
        scale = light_scale(self.run)
        galaxy = galsim.InterpolatedImage(galsim.Image(light.astype(float), scale=scale))
        galaxy = galaxy.lens(*self.sky.shear, self.sky.magnification)
        if self.psf is not None:
            galaxy = galsim.Convolve(galaxy, self.psf)
        half = min(MARGIN, galaxy.getGoodImageSize(self.sky.pixel_scale) // 2 + 1)
        middle = galsim.PositionI(round(x), round(y))
        part = image[galsim.BoundsI(middle).withBorder(half) & image.bounds]
        galaxy.drawImage(part, center=galsim.PositionD(x, y), method=self.method, add_to_image=True)


_drawing: Drawing | None = None
"""Of this process, where it is one of several."""


def _begin(sky: MockSky) -> None:
    global _drawing
    logging.getLogger("galgen").setLevel(logging.ERROR)  # the command has warned already
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that waits says so
    threadpool_limits(1)
    torch.set_num_threads(1)
    _drawing = Drawing(sky)


def _draw(job: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    return _drawing.cell(*job)


def check_reach(sky: MockSky, run: TrainedRun) -> None:
    """Check that no galaxy, lensed and blurred, reaches further than it is drawn.

    Raises:
        GalgenError: if one may.
    """
    side = run.model.image_size * run.model.oversampling * light_scale(run)
    stretched = math.sqrt(sky.magnification) / (1 - math.hypot(*sky.shear))
    psf = read_psf(sky.psf)[0]
    blurred = 0.0
    if isinstance(psf, galsim.Moffat):
        blurred = WINGS * psf.fwhm
    elif psf is not None:
        blurred = psf.image.array.shape[0] * psf.image.scale / 2
    reach = (0.5 * side * stretched + blurred) / sky.pixel_scale
    if reach > MARGIN:
        raise GalgenError(
            f"pixel_scale={sky.pixel_scale:g}: with PSF, shear and magnification, galaxies reach "
            f"{reach:.0f} px from their centre, and {MARGIN} are drawn. Give larger pixels."
        )


def has_conditions(run: TrainedRun) -> bool:
    """Say whether a run has learned how its survey's conditions are distributed."""
    return path_of(run.directory, CONDITIONS).is_file()


def check_run(run: TrainedRun, psf: str, band: str | None) -> str:
    """Check that a run's galaxies can be put on a sky, and return the band.

    Raises:
        GalgenError: if their flux or their scale is not known, the model is given the redshift and
            none can be drawn, they have a PSF already, or there is no such band.
    """
    if run.unit == PEAK:
        raise GalgenError(
            f"run={run.directory}: its galaxies are scaled to a peak of 1, so nobody knows how "
            "bright they are on a sky. Use a model with transform=none."
        )
    light_scale(run)
    if run.model.conditional and not has_conditions(run):
        raise GalgenError(
            f"run={run.directory}: {run.model.name} needs redshifts, and the run has not learned "
            f"how they are distributed. python -m galgen.fit_prior run={run.directory}"
        )
    if psf != NONE and not run.model.psf_free:
        raise GalgenError(
            f"psf={psf}: galaxies of {run.name} are blurred by the survey's PSF already. Leave psf "
            "out, or use a model with model.psf_free=true."
        )
    if band is not None and band not in run.bands:
        raise GalgenError(
            f"band={band}: {run.name} has no such band. It has {', '.join(run.bands)}."
        )
    return band or run.bands[run.reference]


def read_psf(psf: str) -> tuple[galsim.GSObject | None, str]:
    """Return a PSF, and how GalSim draws with it: its pixel is in a file's PSF already.

    Raises:
        GalgenError: if it is neither a width nor a file with one PSF and its pixel scale.
    """
    if psf == NONE:
        return None, "auto"
    try:
        width = float(psf)
    except ValueError:
        return _psf_of_file(psf), "no_pixel"
    if not 0 < width < 60:
        raise GalgenError(f"psf={psf}: the FWHM of a PSF is positive, in arcsec.")
    return galsim.Moffat(beta=MOFFAT_BETA, fwhm=width), "auto"


def _psf_of_file(psf: str) -> galsim.GSObject:
    path, part = file_and_part(psf)
    check_file(f"psf={psf}", path)
    try:
        pixels, cards = read_file(Path(path), part)
    except Unusable as error:
        raise GalgenError(f"psf={psf}: {error}. Give another file.") from error
    scale = calibrate(cards, Given()).pixel_scale
    if pixels.ndim != 2 or not (np.isfinite(pixels).all() and pixels.sum() > 0):
        raise GalgenError(f"psf={psf}: give one image of one PSF, finite, of positive sum.")
    if scale is None:
        raise GalgenError(
            f"psf={psf}: its header has no pixel scale. Add PIXSCALE, in arcsec, to it."
        )
    image = galsim.Image(pixels.astype(float), scale=scale)
    return galsim.InterpolatedImage(image, flux=1.0)
