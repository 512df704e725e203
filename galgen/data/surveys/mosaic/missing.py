"""Pixels without data: those that the maps and the header mark, and the empty border."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from astropy.io import fits
from scipy import ndimage

from galgen.data.surveys.fits_files import Plane

BLOCK = 16
"""Side of the blocks in which the border is looked for, px."""
CHANCE = 1e-6
"""Largest probability that data make an area of the border's value by chance."""
REASONS = (
    "",
    "values that are not finite",
    "the mask",
    "the noise map",
    "zeros",
    "the empty border",
    "the end of the image",
    "pixels beside them, which resampling needs",
)
"""Why a pixel has no data, by code; 0 where it has."""
NUMBER, MASK, NOISE, ZERO, BORDER, OUTSIDE, BESIDE = range(1, 8)
DETECTED = ("DETECTED", "DETECTED_NEGATIVE")
"""Bits of a mask that mark sources, not missing pixels."""
SAMPLE = 4e6
"""About how many pixels are enough to judge a mask."""
BRIGHT, FEW = 10, 20
"""A bright pixel is BRIGHT median distances above the median; FEW of them are enough to judge."""
LOW, HIGH = 200, 1e7
"""Limits of data below and above the median, in median distances from it."""
OUTLIER = 1e3
"""Noise above OUTLIER times the smallest (5th percentile) marks missing data."""


@dataclass
class Border:
    """Where an image is empty: areas of one value at its border, found in blocks."""

    value: float
    """Of the empty pixels."""
    tolerance: "Tolerance"
    solid: np.ndarray
    """(h, w) of blocks: all of it is empty, and the area reaches the border."""
    edge: np.ndarray
    """(h, w) of blocks: at the image's border, and empty along it."""
    rare: bool
    """Whether data would hardly make an area of 3 x 3 px of it by chance."""

    def missing(self, data: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        """Tell which pixels of a section (H, W) belong to the empty border."""
        y = np.arange(rows.start, rows.stop) // BLOCK
        x = np.arange(columns.start, columns.stop) // BLOCK
        section = np.ix_(y, x)
        solid = self.solid[section]
        near = ndimage.binary_dilation(self.solid | self.edge, np.ones((3, 3)))[section]
        # Zeros inside may be data; -99 or 1e30, that fill a corner, are not.
        areas = self.areas(data, rows, columns) & (self.value != 0)
        if not near.any():
            return areas
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
        return areas | ndimage.binary_propagation(seeds, mask=(area & near) | seeds)

    def areas(self, data: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        """Tell which pixels of a section (H, W) lie in areas of the value, where that is rare."""
        if not self.rare:
            return np.zeros(data.shape, bool)
        value = self.tolerance.equal(data, self.value, rows, columns)
        return ndimage.binary_opening(value, np.ones((3, 3)))


class Tolerance:
    """How far compression with dithering may have moved a pixel from its value.

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
        """Tell which pixels of a section (H, W) may have had a value before compression."""
        if self.steps is None:
            return data == value
        y, x = (
            np.arange(part.start, part.stop) // tile
            for part, tile in zip((rows, columns), self.tile, strict=True)
        )
        step = self.steps[np.ix_(y, x)] if len(set(x)) > 1 else self.steps[y][:, x[:1]]
        # Zeros move by half a step; another value is known from pixels that moved too.
        return np.abs(data - value) <= (0.502 if value == 0 else 1.01) * step + 1e-6 * abs(value)


def find_border(plane: Plane) -> Border | None:
    """Look for areas of one value at the border of an image: 0, or another that fills blocks.

    An area counts where data would not make it by chance.

    Args:
        plane: the image.

    Returns:
        The border, None where the image has none.
    """
    tolerance = Tolerance(plane)
    value = _corner_value(plane, tolerance)
    solid, edge, share = _blocks(plane, tolerance, value)
    rare = share**9 * np.prod(plane.shape) < CHANCE
    if not (solid.any() or edge.any() or rare):
        return None
    side = min(BLOCK, *plane.shape)
    likely = share ** (side**2) * solid.size
    solid = solid if likely < CHANCE else np.zeros_like(solid)
    whole = ndimage.label(solid, np.ones((3, 3)))[0]
    frame = np.ones_like(solid)
    frame[1:-1, 1:-1] = False
    outer = solid & np.isin(whole, np.setdiff1d(whole[frame], [0]))
    if share**side * edge.sum() >= CHANCE:  # a short run counts only beside an area
        edge = ndimage.binary_propagation(outer, np.ones((3, 3)), mask=edge | outer) & edge
    if not (outer.any() or edge.any() or rare):
        return None
    return Border(value, tolerance, outer, edge, bool(rare))


def _corner_value(plane: Plane, tolerance: Tolerance) -> float:
    """Return the one value of a corner's block, which an empty border would have, or 0."""
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
    """Tell which blocks are empty, which along the border are, and how common the value is."""
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


class OddPixels:
    """Pixels that are taken for data, but may mark missing data."""

    def __init__(self):
        self.zeros, self.beyond, self.extreme = 0, 0, 0.0

    def look(self, border: Border | None, data: np.ndarray, section: tuple, inner: tuple) -> None:
        """Count them in a section (H, W), of which `inner` is the core."""
        if border is not None:
            self.zeros += int(border.areas(data, *section)[inner].sum())
        known = data[np.isfinite(data)]
        if not known.size:
            return
        middle = np.median(known)
        noise = np.median(np.abs(known - middle)) or np.abs(known - middle).mean()
        distance = data[inner] - middle
        beyond = (distance < -LOW * noise) | (distance > HIGH * noise)
        self.beyond += int(beyond.sum())
        if beyond.any():
            self.extreme = float(data[inner][beyond][0])

    def notes(self, total: int) -> list[str]:
        """Describe the missing data of an image of `total` pixels."""
        notes = []
        if self.zeros:
            notes.append(
                f"{self.zeros / total:.2%} of the image lies in areas of 0 inside it, which are "
                "taken for data; mosaic.zeros=missing takes all pixels of 0 for missing"
            )
        if self.beyond:
            notes.append(
                f"{self.beyond} pixels are far below the sky or beyond any source, such as "
                f"{self.extreme:g}. They are taken for data; if they mark missing pixels, give "
                "mosaic.mask."
            )
        return notes


class NoiseMap:
    """A map of the noise of each pixel, which also marks missing data.

    Args:
        plane: map of the noise (role `rms`) or of 1 / noise^2 (`weight`).

    Raises:
        GalgenError: if the file is damaged.
    """

    def __init__(self, plane: Plane):
        self.plane, self.tolerance = plane, Tolerance(plane)
        samples = [
            self._noise(data, rows, slice(0, plane.shape[1]))[::7, ::11].ravel()
            for rows, data in plane.strips()
        ]
        values = np.concatenate(samples)
        values = values[np.isfinite(values)]
        self.largest = OUTLIER * np.percentile(values, 5) if values.size else np.nan

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """Read the noise of a section (H, W), NaN where the map marks missing data.

        Raises:
            GalgenError: if the file is damaged.
        """
        noise = self._noise(self.plane.read(rows, columns), rows, columns)
        noise[~(noise <= self.largest)] = np.nan
        return noise

    def _noise(self, data: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        zero = self.tolerance.equal(data, 0.0, rows, columns)
        known = np.where((data > 0) & np.isfinite(data) & ~zero, data, np.nan)
        return known if self.plane.role == "rms" else 1 / np.sqrt(known)


class Mask:
    """A map of data quality, which marks missing data.

    Args:
        plane: the map; keywords MP_<NAME> of its header, as the Rubin pipelines write them, name
            its bits.
    """

    def __init__(self, plane: Plane):
        self.plane, self.tolerance = plane, Tolerance(plane)
        with fits.open(plane.path) as hdus:
            header = hdus[plane.number].header
            bits = {name: header.get(f"MP_{name}") for name in DETECTED}
        self.ignored = {name: 1 << bit for name, bit in bits.items() if isinstance(bit, int)}

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """Tell which pixels of a section (H, W) have no data.

        Raises:
            GalgenError: if the file is damaged.
        """
        data = self.plane.read(rows, columns)
        marked = ~self.tolerance.equal(data, 0.0, rows, columns)
        if self.ignored:
            marked &= (data.astype(np.int64) & ~sum(self.ignored.values())) != 0
        return marked


def light_taken(image: Plane, mask: Mask) -> tuple[float, float] | None:
    """Return the share of the bright pixels that a mask marks, and that of the others.

    Args:
        image: the image.
        mask: its mask.

    Returns:
        The shares; None where too few pixels are bright.
    """
    step = max(1, int(np.sqrt(np.prod(image.shape) / SAMPLE)))
    everything = slice(0, image.shape[1])
    pixels = np.concatenate([data[::step, ::step].ravel() for _, data in image.strips()])
    marked = [mask.read(rows, everything)[::step, ::step].ravel() for rows, _ in image.strips()]
    marked = np.concatenate(marked)[np.isfinite(pixels)]
    pixels = pixels[np.isfinite(pixels)]
    if not pixels.size:
        return None
    distances = pixels - np.median(pixels)
    bright = distances > BRIGHT * np.median(np.abs(distances))
    if bright.sum() < FEW:
        return None
    return float(marked[bright].mean()), float(marked[~bright].mean())
