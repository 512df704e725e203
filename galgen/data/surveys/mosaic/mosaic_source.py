"""Stamps cut from a FITS mosaic, of the galaxies of a catalogue or of all that are detected."""

import json
import zlib

import astropy
import numpy as np
import photutils
from astropy.coordinates import SkyCoord
from astropy.nddata import Cutout2D
from rich.progress import track
from skimage.segmentation import expand_labels

from galgen.data.surveys.mosaic import detection
from galgen.data.surveys.mosaic.missing import BORDER, NOISE, REASONS, OddPixels, light_taken
from galgen.data.surveys.mosaic.mosaic import Mosaic
from galgen.data.surveys.mosaic.source_table import SourceTable, match, read_catalogue
from galgen.data.surveys.source import Source
from galgen.errors import GalgenError

RECIPE = 3
"""Counts the changes of the recipe."""
SMALLEST, LARGEST = 1e-37, 1e33
"""Noise of images that numbers of 32 bits hold, sources above it included."""
GROW = 4
"""Pixels around a neighbour that are replaced too: they hold its light below the threshold."""
INTERNAL = ("tile", "segment", "sky", "scatter", "scale", "deblended")
"""Columns that are needed to cut stamps, but not written to the stamp file."""
MISSING, NEIGHBOUR, DEBLENDED = 1, 2, 4
"""Bits of the column `flag`."""


class MosaicSource(Source):
    """Stamps of a mosaic, centred on detections to the nearest pixel, sky-subtracted.

    Noise fills the pixels that have no data, and those of other sources where neighbours=noise.
    It has the local variance and the correlation of the mosaic's noise, and is a function of the
    candidate's number.

    Args:
        mosaic: the mosaic.
        image_size: side of the stamps, px.
        **arguments: of `Source`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(self, mosaic: Mosaic, image_size: int, **arguments):
        super().__init__(**arguments)
        if image_size < 1:
            raise ValueError(f"prepare.image_size={image_size}: it must be positive.")
        self.mosaic, self.image_size = mosaic, image_size
        self._cached: tuple[int, tuple] | None = None

    def __len__(self) -> int:
        return len(self._columns["tile"])

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_cached": None}

    def open(self) -> None:
        """Detect the sources tile by tile, and find the catalogue's galaxies among them.

        Raises:
            GalgenError: if a file cannot be used, or there are no galaxies.
        """
        mosaic, facts = self.mosaic, self.mosaic.facts
        if self.image_size > min(facts.shape):
            raise GalgenError(
                f"data.image_size={self.image_size}: the mosaic has only "
                f"{facts.shape[1]} x {facts.shape[0]} px. Give a smaller size."
            )
        self.notes = list(facts.notes)
        catalogue, rows, places = None, None, np.empty((2, 0), int)
        if mosaic.catalogue is not None:
            catalogue = read_catalogue(mosaic.catalogue, mosaic.columns)
            self.notes += catalogue.notes
            rows, places = catalogue.inside(facts.wcs, facts.shape)
        columns, covered = self._detect(places)
        self._check_range(float(np.median(columns["scatter"])))
        sky = facts.wcs.pixel_to_world(columns["x"], columns["y"]).icrs
        columns |= {"ra": sky.ra.deg, "dec": sky.dec.deg, "galaxy_id": np.arange(len(sky))}
        columns["redshift"] = np.full(len(sky), np.nan, np.float32)
        columns["flux_radius"] = columns["flux_radius"] * facts.pixel_scale
        point = np.nan if facts.zero_point is None else facts.zero_point
        positive = np.where(columns["flux"] > 0, columns["flux"], np.nan)
        columns["magnitude"] = point - 2.5 * np.log10(positive)
        if catalogue is None:
            self.notes.append(f"{len(sky)} sources detected")
        else:
            columns = self._match(columns, catalogue, rows[covered])
        self._columns = columns
        _ = mosaic.hashes  # here once, so that no other process reads the files for them

    def _detect(self, places: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Find the sources of all tiles, and tell which of some pixels (2, M) have data."""
        mosaic, facts = self.mosaic, self.mosaic.facts
        margin = max(detection.MARGIN, self.image_size // 2 + 2 * GROW)
        self._tiles = detection.tiles(facts.shape, margin)
        self._segments, parts, products, scales = [], [], [], []
        counts = np.zeros(len(REASONS), int)
        odd = OddPixels()
        covered = np.zeros(places.shape[1], bool)
        for number, (tile, section) in enumerate(track(self._tiles, description="detecting")):
            data, noise, why = mosaic.read(section)
            (y, x), inner = detection.relative(tile, section)
            counts += np.bincount(why[inner].ravel(), minlength=len(REASONS))
            odd.look(mosaic.border, data, section, inner)
            here = detection.inside(places, tile)
            covered[here] = ~np.isnan(data[places[0, here] - y, places[1, here] - x])
            found = detection.detect(data, noise, mosaic.threshold, mosaic.min_pixels, inner)
            self._segments.append(zlib.compress(found.segments, 1) if found else b"")
            if found:
                products.append(found.products)
                scales.append(found.scale)
            if found and found.columns:
                found.columns["x"] += x
                found.columns["y"] += y
                parts.append({**found.columns, "tile": np.full(len(found.columns["x"]), number)})
        self._say_missing(counts, odd)
        self._judge(len(parts), scales, counts)
        self._filter = detection.noise_filter(np.sum(products, 0))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, covered

    def _judge(self, found: int, scales: list[float], counts: np.ndarray) -> None:
        """Raise if nothing is found, and note a noise map that does not fit."""
        mosaic, path = self.mosaic, self.mosaic.facts.planes["image"].path
        missing = [note for note in self.notes if " of the image has no data" in note]
        said = "; ".join(missing) or "all pixels have data"
        if not scales:
            reason = "too few different pixels to measure the noise" if counts[0] else "no data"
            raise GalgenError(
                f"mosaic.image={path}: it has {reason} ({said}). Check the image and its maps."
            )
        if not found:
            raise GalgenError(
                f"mosaic.image={path}: no source has {mosaic.min_pixels} pixels above "
                f"{mosaic.threshold} times the noise ({said}). Lower mosaic.threshold or "
                "mosaic.min_pixels, or check the maps."
            )
        scale = float(np.median(scales))
        if {"rms", "weight"} & set(mosaic.images) and abs(scale - 1) > 0.2:
            said = f"{scale:.2f} times that of the noise map; in resampled mosaics, the noise of "
            said += "neighbouring pixels is correlated"
            if max(scale, 1 / scale) > 5:
                said = f"{scale:.3g} times that of the noise map, and signal_to_noise is by the "
                said += "map. Does it hold variances, relative weights, or another unit?"
            self.notes.append(f"the noise between the sources is {said}")

    def _check_range(self, noise: float) -> None:
        """Refuse numbers that the pixels of stamps, of 32 bits, cannot hold."""
        if not SMALLEST < noise < LARGEST:
            raise GalgenError(
                f"mosaic.image={self.mosaic.facts.planes['image'].path}: its noise is {noise:.3g}, "
                f"stamps hold {SMALLEST:g} to {LARGEST:g}. Give the image in another unit."
            )

    def _say_missing(self, counts: np.ndarray, odd: OddPixels) -> None:
        """Note how much of the image has no data, by reason, and which data look like none."""
        mosaic, total = self.mosaic, counts.sum()
        border = mosaic.border
        value = f" (pixels of {border.value:g})" if border is not None else ""
        extra = {BORDER: value, NOISE: " (not positive, not finite, or too large)"}
        parts = [
            f"{counts[code] / total:.2%} by {REASONS[code]}{extra.get(code, '')}"
            for code in range(1, len(REASONS))
            if counts[code]
        ]
        if parts:
            missing = f"{1 - counts[0] / total:.2%} of the image has no data: "
            self.notes.append(missing + ", ".join(parts))
        self.notes += odd.notes(total)
        if mosaic.mask is None:
            return
        if mosaic.mask.ignored:
            self.notes.append(
                f"mosaic.mask: its bits {', '.join(mosaic.mask.ignored)} do not count"
            )
        shares = light_taken(mosaic.facts.planes["image"], mosaic.mask)
        if shares is not None and shares[0] > max(0.5, 3 * shares[1]):
            self.notes.append(
                f"mosaic.mask marks {shares[0]:.0%} of the bright pixels as missing and "
                f"{shares[1]:.0%} of the others. Does it mark the sources? Give a map that is 0 "
                "where the image has data."
            )

    def _match(
        self, columns: dict[str, np.ndarray], catalogue: SourceTable, rows: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Keep the detections of the galaxies of some rows, with redshifts and identifiers."""
        mosaic = self.mosaic
        sky = SkyCoord(catalogue.ra[rows], catalogue.dec[rows], unit="deg")
        found = SkyCoord(columns["ra"], columns["dec"], unit="deg")
        entry, detected = match(sky, found, mosaic.match_radius)
        if not len(entry):
            place = found[:1].to_string()[0]
            raise GalgenError(
                f"mosaic.catalogue={mosaic.catalogue}: none of its {len(catalogue.ra)} galaxies "
                f"is within {mosaic.match_radius} arcsec of a source ({len(rows)} of them are in "
                f"the image, which has a source at RA, Dec = {place}). Check the catalogue's "
                "columns and the WCS, or raise mosaic.match_radius."
            )
        missed = np.delete(np.arange(len(rows)), entry)
        self.notes.append(
            f"{len(columns['x'])} sources detected, {len(entry)} of the catalogue's {len(rows)} "
            f"galaxies in the image matched within {mosaic.match_radius} arcsec; "
            f"{len(catalogue.ra) - len(rows)} lie outside of its pixels with data"
        )
        nearest = sky[missed].match_to_catalog_sky(found)[1].arcsec if len(missed) else missed
        shared, missed = (
            rows[missed[nearest <= mosaic.match_radius]],
            rows[missed[nearest > mosaic.match_radius]],
        )
        if len(shared):
            self.notes.append(
                f"{len(shared)} catalogue entries are left out, their detection is another "
                f"entry's: ids {catalogue.named(shared)}"
            )
        if len(missed):
            self.notes.append(
                f"{len(missed)} catalogue entries have no detection (mosaic.threshold and "
                f"mosaic.min_pixels say how faint it may be): ids {catalogue.named(missed)}"
            )
        order = np.argsort(detected)  # by tile
        rows = rows[entry[order]]
        columns = {name: values[detected[order]] for name, values in columns.items()}
        columns["redshift"] = catalogue.redshift[rows].astype(np.float32)
        columns["galaxy_id"] = np.arange(len(rows))
        if catalogue.galaxy_id is not None:
            columns["galaxy_id"] = catalogue.galaxy_id[rows]
        if catalogue.catalogue_id is not None:
            columns["catalogue_id"] = catalogue.catalogue_id[rows]
        return columns

    def attrs(self) -> dict:
        """Return the stamp file's attributes."""
        mosaic, facts = self.mosaic, self.mosaic.facts
        options = ("columns", "match_radius", "threshold", "min_pixels", "neighbours", "zeros")
        recipe = {"source": "mosaic", "recipe": RECIPE, "image_size": self.image_size}
        recipe |= {"sha256": [sha256 for _, sha256 in mosaic.hashes.values()]}
        recipe |= {"extensions": {role: plane.number for role, plane in facts.planes.items()}}
        recipe |= {"zero_point": facts.zero_point, "band": facts.band}
        recipe |= {name: getattr(mosaic, name) for name in options}
        versions = {"astropy": astropy, "numpy": np, "photutils": photutils}
        return {
            "survey": "mosaic",
            "bands": [facts.band],
            "unit": facts.unit,
            "pixel_scale": facts.pixel_scale,
            **({} if facts.zero_point is None else {"zero_point": [facts.zero_point]}),
            "recipe": json.dumps(recipe),
            "source_files": json.dumps(self._source_files()),
            "versions": ", ".join(f"{name} {item.__version__}" for name, item in versions.items()),
        }

    def _source_files(self) -> dict[str, str]:
        """Return the sha256 of each file by its name, or by its role where two names are equal."""
        hashes = self.mosaic.hashes
        names = [name for name, _ in set(hashes.values())]
        return {
            name if names.count(name) == 1 else f"{name} ({role})": sha256
            for role, (name, sha256) in hashes.items()
        }

    def draw(self, numbers: range) -> tuple[dict[str, np.ndarray], dict[int, str]]:
        """Cut the stamps of some candidates.

        Args:
            numbers: numbers of the candidates.

        Returns:
            `image` (n, H, W), in the mosaic's unit, and with neighbours=mask `weight`, 1 or 0.
            Columns (n,): `galaxy_id`; `catalogue_id`, if that is not an integer; `ra`, `dec` (deg,
            ICRS); `x`, `y` (px, from 0); `redshift`; `flux` (Kron's), `magnitude` (AB),
            `flux_radius` (half-light, arcsec), `signal_to_noise`; `noise_variance` (unit^2),
            `background` (square root of the noise's power at frequency zero); `flag`, a sum of 1
            (pixels without data), 2 (neighbours removed) and 4 (deblended). Then the candidates
            without a stamp, with the reason.
        """
        drawn = {number: self._stamp(number) for number in numbers}
        reasons = {number: made for number, made in drawn.items() if isinstance(made, str)}
        stamps = {number: made for number, made in drawn.items() if number not in reasons}
        names = [name for name in self._columns if name not in INTERNAL]
        arrays = {name: self._columns[name][list(stamps)] for name in names}
        for name in ("image", "weight")[: 1 + (self.mosaic.neighbours == "mask")]:
            cubes = np.array([stamp[name] for stamp in stamps.values()], np.float32)
            arrays[name] = cubes.reshape(-1, self.image_size, self.image_size)
        for name, kind in {"noise_variance": float, "background": float, "flag": int}.items():
            arrays[name] = np.array([stamp[name] for stamp in stamps.values()], kind)
        return arrays, reasons

    def _stamp(self, number: int) -> dict | str:
        """Cut a stamp; if that fails, return the reason."""
        row = {name: values[number] for name, values in self._columns.items()}
        data, noise, segments = self._tile(row["tile"])
        section = self._tiles[row["tile"]][1]
        centre = [round(float(row[c])) - s.start for c, s in zip("xy", section[::-1], strict=True)]

        def cut(array: np.ndarray, fill: float, size: int = self.image_size) -> np.ndarray:
            return Cutout2D(array, centre, size, mode="partial", fill_value=fill).data

        image = cut(data, np.nan) - row["sky"]
        missing = np.isnan(image)
        if len(np.unique(image[~missing])) < 2:
            return "its pixels with data have one value"
        near = expand_labels(cut(segments, 0, self.image_size + 2 * GROW), GROW)
        near = near[GROW:-GROW, GROW:-GROW]
        others = (near != 0) & (near != row["segment"]) & ~missing
        # The scale of a map may differ: those of drizzled mosaics may allow for correlated noise.
        level = row["scatter"]
        if noise is not None:
            level = row["scale"] * np.nanmedian(cut(noise, np.nan))
        neighbours = self.mosaic.neighbours
        rng = np.random.default_rng(number)
        fill = detection.draw_noise(self._filter, self.image_size, rng) * level
        image = np.where(missing | (others if neighbours == "noise" else False), fill, image)
        if neighbours == "mask":
            image[others] = 0
        changed = neighbours != "keep" and others.any()
        return {
            "image": image,
            "weight": ~(missing | others),
            "noise_variance": level**2,
            "background": level * self._filter.sum(),
            "flag": MISSING * missing.any() + NEIGHBOUR * changed + DEBLENDED * row["deblended"],
        }

    def _tile(self, number: int) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Read pixels, noise and segments of a tile; the last one is kept."""
        if self._cached is None or self._cached[0] != number:
            data, noise, _ = self.mosaic.read(self._tiles[number][1])
            segments = np.frombuffer(zlib.decompress(self._segments[number]), np.int32)
            self._cached = number, (data, noise, segments.reshape(data.shape))
        return self._cached[1]
