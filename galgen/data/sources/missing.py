"""Pixels without data: those that the maps and the header mark, and the empty border."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from astropy.io import fits
from scipy import ndimage

from galgen.data.sources.fits_files import Plane

BLOCK = 16
"""Side of the blocks that the border is looked for in, px."""
CHANCE = 1e-6
"""Largest probability that honest pixels of the border's value make up an area of it."""
REASONS = ("", "no number", "the mask", "the noise map", "zeros", "the empty border")
"""Why a pixel has no data, by code; 0 where it has."""
NUMBER, MASK, NOISE, ZERO, BORDER = range(1, 6)
OUTLIER = 1e3
"""Times the smallest noise (5th percentile), beyond which a noise map means no data."""


@dataclass
class Border:
    """Where an image is empty: areas of one value at its border, found in blocks."""

    value: float
    """That the empty pixels have."""
    tolerance: "Tolerance"
    solid: np.ndarray
    """(h, w) of blocks: all of it is empty, and the area reaches the border."""
    edge: np.ndarray
    """(h, w) of blocks: at the image's border, and empty along it."""
    inner: float
    """Share of the image in areas of that value that do not reach the border."""

    def missing(self, data: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        """Tell which pixels of a section (H, W) belong to the empty border."""
        y = np.arange(rows.start, rows.stop) // BLOCK
        x = np.arange(columns.start, columns.stop) // BLOCK
        section = np.ix_(y, x)
        solid = self.solid[section]
        near = ndimage.binary_dilation(self.solid | self.edge, np.ones((3, 3)))[section]
        if not near.any():
            return np.zeros(data.shape, bool)
        value = self.tolerance.equal(data, self.value, rows, columns)
        value |= ~np.isfinite(data)
        edge = np.zeros(data.shape, bool)
        edge[0], edge[-1] = rows.start == 0, rows.stop == self.tolerance.shape[0]
        edge[:, 0] |= columns.start == 0
        edge[:, -1] |= columns.stop == self.tolerance.shape[1]
        seeds = value & (solid | (edge & self.edge[section]))
        # Single pixels of that value beside the area are data; beyond the image all is empty.
        area = np.pad(value & near, 2, constant_values=True)
        area = ndimage.binary_opening(area, np.ones((3, 3)))[2:-2, 2:-2]
        return ndimage.binary_propagation(seeds, mask=(area & near) | seeds)


class Tolerance:
    """How far a pixel of a known value may be from it: compression by dithering moves it.

    Args:
        plane: the image.
    """

    def __init__(self, plane: Plane):
        self.shape, self.steps, self.tile = plane.shape, None, plane.shape
        with fits.open(plane.path, disable_image_compression=True) as hdus:
            header = hdus[plane.number].header
            quantised = header.get("ZIMAGE", False) and header.get("ZQUANTIZ", "") != "NONE"
            if quantised and "ZSCALE" in hdus[plane.number].columns.names:
                self.tile = header.get("ZTILE2", 1), header.get("ZTILE1", plane.shape[1])
                tiles = [
                    -(-side // tile) for side, tile in zip(plane.shape, self.tile, strict=True)
                ]
                steps = np.array(hdus[plane.number].data["ZSCALE"], float)
                self.steps = steps.reshape(tiles) if steps.size == np.prod(tiles) else None

    def equal(self, data: np.ndarray, value: float, rows: slice, columns: slice) -> np.ndarray:
        """Tell which pixels of a section (H, W) may have been of a value before compression."""
        if self.steps is None:
            return data == value
        y, x = (
            np.arange(part.start, part.stop) // tile
            for part, tile in zip((rows, columns), self.tile, strict=True)
        )
        step = self.steps[np.ix_(y, x)] if len(set(x)) > 1 else self.steps[y][:, x[:1]]
        # Zeros move by half a step; another value is itself known from moved pixels.
        return np.abs(data - value) <= (0.502 if value == 0 else 1.01) * step + 1e-6 * abs(value)


def find_border(plane: Plane) -> Border | None:
    """Look for areas of one value at the border of an image: 0, or another that fills blocks.

    An area counts where honest pixels of that value would not make it by chance.

    Args:
        plane: the image.

    Returns:
        The border, None where the image has none.
    """
    tolerance = Tolerance(plane)
    value = _corner_value(plane, tolerance)
    solid, edge, share = _blocks(plane, tolerance, value)
    if not (solid.any() or edge.any()):
        return None
    side = min(BLOCK, *plane.shape)
    likely = share ** (side**2) * solid.size
    solid = solid if likely < CHANCE else np.zeros_like(solid)
    whole = ndimage.label(solid, np.ones((3, 3)))[0]
    frame = np.ones_like(solid)
    frame[1:-1, 1:-1] = False
    outer = solid & np.isin(whole, np.setdiff1d(whole[frame], [0]))
    if share**side * edge.sum() >= CHANCE:  # short runs prove nothing, unless an area is beside
        edge = ndimage.binary_propagation(outer, np.ones((3, 3)), mask=edge | outer) & edge
    if not (outer.any() or edge.any()):
        return Border(value, tolerance, outer, edge, float(solid.mean())) if solid.any() else None
    return Border(value, tolerance, outer, edge, float((solid & ~outer).mean()))


def _corner_value(plane: Plane, tolerance: Tolerance) -> float:
    """Return the value that an empty border would have: of a corner's block, if that has one."""
    first = [slice(0, min(BLOCK, side)) for side in plane.shape]
    last = [slice(max(side - BLOCK, 0), side) for side in plane.shape]
    for corner in product(*zip(first, last, strict=True)):
        block = plane.read(*corner)
        known = block[np.isfinite(block)]
        if known.size and not tolerance.equal(block, 0.0, *corner)[np.isfinite(block)].all():
            middle = float((known.min() + known.max()) / 2)
            if tolerance.equal(block, middle, *corner)[np.isfinite(block)].all():
                return middle
    return 0.0


def _blocks(
    plane: Plane, tolerance: Tolerance, value: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Tell which blocks are empty, which are so along the border, and how common the value is."""
    height, width = plane.shape
    columns = slice(0, width)
    starts = np.arange(0, width, BLOCK)
    sizes = np.diff([*starts, width])
    solid, edge, shares = [], [], []
    for rows, data in plane.strips():
        equal = tolerance.equal(data, value, rows, columns)
        known = np.isfinite(data)
        empty = equal | ~known
        tall = np.arange(0, len(data), BLOCK)
        heights = np.diff([*tall, len(data)])
        area = heights[:, None] * sizes

        def count(array: np.ndarray, tall=tall) -> np.ndarray:
            return np.add.reduceat(np.add.reduceat(array, tall, 0, int), starts, 1)

        equals = count(equal)
        strip = (count(empty) == area) & (equals > 0)
        shares.append((equals / area)[(equals < area) & (count(known) == area)])
        run = np.zeros_like(strip)
        run[:, 0] = _runs(empty[:, :1], equal[:, :1], tall, heights)
        run[:, -1] |= _runs(empty[:, -1:], equal[:, -1:], tall, heights)
        if rows.start == 0:
            run[0] |= _runs(empty[0], equal[0], starts, sizes)
        if rows.stop == height:
            run[-1] |= _runs(empty[-1], equal[-1], starts, sizes)
        solid.append(strip)
        edge.append(run)
    shares = np.concatenate(shares)
    share = float(np.median(shares)) if shares.size else 0.0
    return np.concatenate(solid), np.concatenate(edge), share


def _runs(
    empty: np.ndarray, equal: np.ndarray, starts: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    """Tell which pieces of a line of pixels are empty from end to end."""
    full = np.add.reduceat(empty.ravel(), starts, 0, int) == sizes
    return full & (np.add.reduceat(equal.ravel(), starts, 0, int) > 0)


def smallest_noise(plane: Plane, noise: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return the 5th percentile of a noise map, of a sample of its pixels; NaN where it has none.

    Args:
        plane: the map.
        noise: turns its pixels into noise, NaN where there is none.
    """
    samples = [noise(data[::7, ::11]).ravel() for _, data in plane.strips()]
    values = np.concatenate(samples)
    values = values[np.isfinite(values)]
    return float(np.percentile(values, 5)) if values.size else np.nan
