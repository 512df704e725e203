"""The sources of all tiles of a mosaic, found section by section, and notes about them."""

import zlib
from dataclasses import dataclass, field

import numpy as np
from rich.progress import track

from galgen.data.surveys.mosaic import band_photometry, detection
from galgen.data.surveys.mosaic.band_image import BandImage
from galgen.data.surveys.mosaic.detection import Section
from galgen.data.surveys.mosaic.missing import BORDER, NOISE, REASONS, OddPixels, light_taken
from galgen.data.surveys.mosaic.mosaic import Mosaic
from galgen.errors import GalgenError


@dataclass
class Piece:
    """A section of a tile; galgen keeps the sources whose centre lies in its core."""

    tile: int
    core: Section
    section: Section
    segments: bytes = b""
    """The section's numbers of sources, int32, compressed; empty if it has no data."""

    def segment_map(self) -> np.ndarray:
        """Return the section's numbers of sources (H, W), int32."""
        shape = [side.stop - side.start for side in self.section]
        return np.frombuffer(zlib.decompress(self.segments), np.int32).reshape(shape)


@dataclass
class Found:
    """Sources of a mosaic, n of them, in B bands."""

    pieces: list[Piece]
    columns: dict[str, np.ndarray]
    """(n,), and (n, B) of OF_BANDS: those of `Detections`; `x`, `y` (px of the tile), `piece` and
    `tile` (their numbers)."""
    filters: list[np.ndarray]
    """(B,): of `noise_filter`."""
    covered: list[np.ndarray]
    """For each tile, which of the given pixels have data."""
    notes: list[str]


@dataclass
class Tally:
    """What the sections show of one band of one tile, or of one band."""

    counts: np.ndarray = field(default_factory=lambda: np.zeros(len(REASONS), int))
    """Pixels by code of REASONS."""
    odd: OddPixels = field(default_factory=OddPixels)


def find_sources(mosaic: Mosaic, margin: int, places: list[np.ndarray]) -> Found:
    """Detect the sources of all tiles, and measure them in all bands.

    Args:
        mosaic: the mosaic.
        margin: pixels around the core of each section.
        places: for each tile, the pixels, y and x (2, M), that `covered` answers for.

    Returns:
        The sources, in the order of the pieces.

    Raises:
        GalgenError: if a file is damaged, a band has no data, or nothing is found.
    """
    bands = len(mosaic.bands)
    pieces = [
        Piece(number, *part)
        for number, tile in enumerate(mosaic.tiles)
        for part in detection.sections(tile.facts.shape, margin)
    ]
    covered = [np.zeros(place.shape[1], bool) for place in places]
    tallies = [[Tally() for _ in range(bands)] for _ in mosaic.tiles]
    parts, products, scales = [], [0.0] * bands, [[] for _ in range(bands)]
    for number, piece in enumerate(track(pieces, description="detecting")):
        planes, asked = mosaic.tiles[piece.tile].read(piece.section), places[piece.tile]
        (y, x), inner = detection.relative(piece.core, piece.section)
        readers = mosaic.tiles[piece.tile].readers
        for (data, _, why), tally, reader in zip(planes, tallies[piece.tile], readers, strict=True):
            tally.counts += np.bincount(why[inner].ravel(), minlength=len(REASONS))
            tally.odd.look(reader.border, data, piece.section, inner)
        here = detection.inside(asked, piece.core)
        known = _detectable(planes, mosaic.detection_band)
        covered[piece.tile][here] = known[asked[0, here] - y, asked[1, here] - x]
        found = band_photometry.detect_in_bands(
            [(data, noise) for data, noise, _ in planes],
            _flux_of_one(mosaic.tiles[piece.tile].facts.zero_points),
            *(mosaic.detection_band, mosaic.threshold, mosaic.min_pixels, inner),
        )
        if found is None:
            continue
        piece.segments = zlib.compress(found.segments, 1)
        for band in range(bands):
            products[band] = products[band] + found.products[band]
            scales[band].append(found.scales[band])
        if found.columns:
            found.columns["x"] += x
            found.columns["y"] += y
            n = len(found.columns["x"])
            parts.append({**found.columns, "piece": np.full(n, number)})
    notes = _missing_pixels(mosaic, tallies)
    _judge(mosaic, notes, bool(parts), scales, tallies)
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns["tile"] = np.array([piece.tile for piece in pieces])[columns["piece"]]
    return Found(pieces, columns, list(map(detection.noise_filter, products)), covered, notes)


def _detectable(planes: list, chosen: int) -> np.ndarray:
    """Return which pixels of a section have data where sources are detected."""
    if chosen >= 0:
        return ~np.isnan(planes[chosen][0])
    return np.any([~np.isnan(data) for data, _, _ in planes], axis=0)


def _flux_of_one(zero_points: list[float | None]) -> list[float | None]:
    """Return the flux of one unit of each band, that of the first band's unit being 1."""
    if None in zero_points:
        return [None] * len(zero_points)
    return [float(10 ** (-0.4 * (point - zero_points[0]))) for point in zero_points]


def _missing_pixels(mosaic: Mosaic, tallies: list[list[Tally]]) -> list[str]:
    """Say how much of each image has no data, by reason, and which data look like none."""
    return [
        tile.named(tile.of_band(note, image), len(mosaic.tiles))
        for tile, row in zip(mosaic.tiles, tallies, strict=True)
        for image, tally in zip(tile.images, row, strict=True)
        for note in _about_missing(image, tally)
    ]


def _about_missing(image: BandImage, tally: Tally) -> list[str]:
    notes, counts, total = [], tally.counts, tally.counts.sum()
    border = image.border
    value = f" (pixels of {border.value:g})" if border is not None else ""
    extra = {BORDER: value, NOISE: " (not positive, not finite, or too large)"}
    parts = [
        f"{counts[code] / total:.2%} by {REASONS[code]}{extra.get(code, '')}"
        for code in range(1, len(REASONS))
        if counts[code]
    ]
    if parts:
        missing = f"{1 - counts[0] / total:.2%} of the image has no data: "
        notes.append(missing + ", ".join(parts))
    notes += tally.odd.notes(total)
    if image.mask is None:
        return notes
    key = image.key("mask")
    if image.mask.ignored:
        notes.append(f"mosaic.{key}: its bits {', '.join(image.mask.ignored)} do not count")
    shares = light_taken(image.facts.planes["image"], image.mask)
    if shares is not None and shares[0] > max(0.5, 3 * shares[1]):
        notes.append(
            f"mosaic.{key} marks {shares[0]:.0%} of the bright pixels as missing and "
            f"{shares[1]:.0%} of the others. Does it mark the sources? Give a map that is 0 "
            "where the image has data."
        )
    return notes


def _judge(
    mosaic: Mosaic,
    notes: list[str],
    found: bool,
    scales: list[list[float]],
    tallies: list[list[Tally]],
) -> None:
    """Raise if nothing is found or a band has no data; note a noise map that does not fit."""
    missing = [note for note in notes if " of the image has no data" in note]
    said = "; ".join(missing) or "all pixels have data"
    _check_measured(mosaic, scales, tallies, said)
    for image, measured in zip(mosaic.tiles[0].images, scales, strict=True):
        scale = float(np.nanmedian(measured))
        if {"rms", "weight"} & set(image.files) and abs(scale - 1) > 0.2:
            notes.append(mosaic.tiles[0].of_band(_about_scale(scale), image))
    if not found:
        raise GalgenError(
            f"mosaic.{mosaic.image_said}: no source has {mosaic.min_pixels} pixels above "
            f"{mosaic.threshold} times the noise ({said}). Lower mosaic.threshold or "
            "mosaic.min_pixels, or check the maps."
        )


def _check_measured(
    mosaic: Mosaic, scales: list[list[float]], tallies: list[list[Tally]], said: str
) -> None:
    """Refuse a band without noise; that of detection first, without which no band is measured."""
    bands = sorted(range(len(scales)), key=lambda band: band != mosaic.detection_band)
    for band in bands:
        if np.isfinite(scales[band]).any():
            continue
        image = mosaic.tiles[0].images[band]
        some = any(row[band].counts[0] for row in tallies)
        reason = "too few different pixels to measure the noise" if some else "no data"
        remedy = "Check the image and its maps"
        if len(bands) > 1 and band == mosaic.detection_band:
            reason += ", and is the band of detection"
            remedy += ", or give another band as mosaic.detect"
        path = image.facts.planes["image"].path
        raise GalgenError(
            f"mosaic.{image.key('image')}={path}: it has {reason} ({said}). {remedy}."
        )


def _about_scale(scale: float) -> str:
    said = f"{scale:.2f} times that of the noise map; in resampled mosaics, the noise of "
    said += "neighbouring pixels is correlated"
    if max(scale, 1 / scale) > 5:
        said = f"{scale:.3g} times that of the noise map, and signal_to_noise is by the "
        said += "map. Does it hold variances, relative weights, or another unit?"
    return f"the noise between the sources is {said}"
