"""A survey of cutouts: its files, its galaxies and its table, and what its headers say."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from astropy.table import Column

from galgen.config.targets import did_you_mean
from galgen.data.bands import UNKNOWN_BAND
from galgen.data.surveys.cutouts.band_images import BandImages, check_together
from galgen.data.surveys.cutouts.calibration import (
    Calibration,
    Given,
    calibrate,
    common_unit,
    contradicting_filters,
)
from galgen.data.surveys.cutouts.cutout_array import CutoutArray, open_array
from galgen.data.surveys.cutouts.cutout_files import Several, Unusable
from galgen.data.surveys.cutouts.cutout_table import plain_names, read_columns
from galgen.data.surveys.cutouts.options import (
    PLACES,
    SKIES,
    check_calibration,
    check_files,
    check_noise,
    checked_bands,
    checked_columns,
    given_values,
)
from galgen.data.surveys.fits_files import file_and_part
from galgen.data.surveys.identifiers import identifiers
from galgen.errors import GalgenError
from galgen.files import sha256

SAMPLE = 128
"""Galaxies that are looked at before the stamps are made."""


@dataclass
class Facts:
    """What the files of a survey say."""

    names: list[str]
    """Of the galaxies, (N,)."""
    bands: list[str]
    native: list[Calibration]
    """Of the first cutout in each band."""
    common: list[Calibration]
    """To which the cutouts of each band are brought."""
    side: int
    """Median of the longer sides of the cutouts, px."""
    columns: dict[str, np.ndarray]
    """Of the galaxies, by name."""
    notes: list[str]

    @property
    def reference(self) -> int:
        """Number of the reference band: the first with magnitudes in the table, else the first."""
        magnitude = self.columns.get("magnitude")
        return 0 if magnitude is None else int(np.isfinite(magnitude).any(axis=0).argmax())


class Cutouts:
    """Galaxies that are cut out already, in files of their own or in one array.

    Each of `images`, `rms`, `weight` and `psf` is a folder, a pattern with `{id}` for the galaxy's
    name, or an array file; `file.fits[NAME]` names an extension, `file.npz[name]` an array. One is
    given for each band, by the band's name, or one for all.

    Args:
        images: the cutouts.
        bands: names of the bands, where the files have an axis of bands or do not name theirs.
        rms: the noise of each pixel, in the image's unit; or numbers.
        weight: 1 / noise^2 of each pixel.
        psf: the PSF of each galaxy, or a file for all.
        ids: array (N,) of the galaxies' names, for array files; their rows where None.
        table: table of galaxies.
        columns: names of its columns, if galgen cannot infer them.
        unit: of the pixels; from the header where None. It may differ between bands.
        pixel_scale: arcsec; from the header where None.
        zero_point: AB magnitude of one unit; from the header where None. It may differ between
            bands.
        sky: whether the median of each cutout's `edges` is subtracted from it, or `none`.
        recentre: whether stamps are centred on the brightest pixel near the centre of the cutout.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        images: str | dict[str, str],
        bands: str | list[str] | None = None,
        rms: str | float | dict[str, str | float] | None = None,
        weight: str | dict[str, str] | None = None,
        psf: str | dict[str, str] | None = None,
        ids: str | None = None,
        table: str | None = None,
        columns: dict | None = None,
        unit: str | dict[str, str] | None = None,
        pixel_scale: float | None = None,
        zero_point: float | dict[str, float] | None = None,
        sky: str = "edges",
        recentre: bool = False,
    ):
        if sky not in SKIES:
            raise ValueError(f"cutouts.sky={sky}: it can be {', '.join(SKIES)}.")
        check_files("images", images, PLACES)
        check_noise(rms, weight)
        check_files("psf", psf, PLACES)
        check_calibration(unit, zero_point, pixel_scale)
        bands = checked_bands(bands)
        self.images, self.bands, self.rms, self.weight = images, bands, rms, weight
        self.psf, self.ids, self.table, self.columns = psf, ids, table, checked_columns(columns)
        self.unit, self.pixel_scale, self.zero_point = unit, pixel_scale, zero_point
        self.sky, self.recentre = sky, recentre
        self.wide = len(images) if isinstance(images, dict) else len(bands or [""])
        """Number of bands."""

    @cached_property
    def pixels(self) -> BandImages:
        """The cutouts."""
        return BandImages("cutouts.images", self.images, self.row_names)

    @cached_property
    def companions(self) -> dict[str, BandImages]:
        """Noise or weights that come in files, by role."""
        given = {"rms": self.rms, "weight": self.weight}
        return {
            role: BandImages(f"cutouts.{role}", what, self.row_names)
            for role, what in given.items()
            if any(isinstance(value, str | Path) for value in given_values(what))
        }

    @cached_property
    def row_names(self) -> np.ndarray | None:
        """Names of the rows of array files, where they are given.

        Raises:
            GalgenError: if they cannot be read.
        """
        if self.ids is None:
            return None
        path, part = file_and_part(self.ids)
        values = np.asarray(open_array("cutouts.ids", path, part)[:])
        if values.ndim != 1:
            raise GalgenError(f"cutouts.ids={self.ids}: it has {values.ndim} axes. Give one axis.")
        return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in values])

    @cached_property
    def facts(self) -> Facts:
        """What the files say.

        Raises:
            GalgenError: if they cannot be used together.
        """
        names = sorted(self.pixels.names(), key=_natural)
        notes = check_together(self.pixels, self.companions, names)
        looked_at = [names[n] for n in np.unique(np.linspace(0, len(names) - 1, SAMPLE, dtype=int))]
        found, sides = self._look(looked_at, names)
        bands = self._name_bands(found[0][0], notes)
        self._check_keys(bands)
        native = [
            calibrate(cards[0], self.given(band)) for cards, band in zip(found, bands, strict=True)
        ]
        if len(self.pixels.sources) == len(bands):  # else all bands of a file share its header
            notes += contradicting_filters(bands, found)
        common = common_unit(bands, native, notes)
        side = int(np.percentile(sides, 50, method="lower"))
        if len(set(sides)) > 1:
            notes.append(
                f"the cutouts have sides of {min(sides)} to {max(sides)} px, the median is {side}"
            )
        arrays = [s for s in self.pixels.sources.values() if isinstance(s, CutoutArray)]
        columns: dict[str, np.ndarray] = {}
        if self.table is not None:
            by_row = bool(arrays) and self.ids is None
            scale = common[0].pixel_scale
            columns, said = read_columns(self.table, self.columns, names, bands, scale, by_row)
            notes += said
        columns |= self._identifiers(names, columns.pop("id", None))
        return Facts(names, bands, native, common, side, columns, notes)

    def given(self, band: str) -> Given:
        """Return the calibration of a band as the user gives it."""
        return Given(_of(self.unit, band), _of(self.zero_point, band), self.pixel_scale)

    def constant_noise(self, number: int) -> float | None:
        """Return the noise in a band that is given as a number, in its own unit."""
        value = _of(self.rms, self.facts.bands[number])
        return None if isinstance(value, str | Path) else value

    def factor(self, number: int, cards: tuple[str, ...]) -> float:
        """Return the factor that brings a cutout to the common unit of its band.

        Args:
            number: of the band.
            cards: of the cutout's header.

        Raises:
            Unusable: if its unit or its pixels differ from those of the others.
        """
        native, common = self.facts.native[number], self.facts.common[number]
        given = self.given(self.facts.bands[number])
        own = calibrate(cards, given)
        if not own.same_pixels(native):
            raise Unusable("its pixels have another size on the sky than those of the first cutout")
        known = own.zero_point is not None
        by_header = known and native.zero_point is not None and given.zero_point is None
        if (own.unit != native.unit and not by_header) or known != (native.zero_point is not None):
            raise Unusable("its header gives another unit than that of the first cutout")
        return 10 ** (0.4 * (common.zero_point - own.zero_point)) if known else 1.0

    def _look(
        self, looked_at: list[str], names: list[str]
    ) -> tuple[list[list[tuple[str, ...]]], list[int]]:
        """Read some cutouts; return the cards of each by band, and their longer sides."""
        found: list[list[tuple[str, ...]]] = [[] for _ in range(self.wide)]
        sides, reasons = [], {}

        def look(name: str) -> None:
            try:
                each = self.pixels.read(name, self.wide)
            except Unusable as error:
                reasons.setdefault(str(error), name)
                return
            for number, item in enumerate(each):
                if item is not None:
                    sides.append(max(item[0].shape))
                    found[number].append(item[1])

        for name in looked_at:
            look(name)
        for number, band in enumerate(self.pixels.sources):
            rest = (name for name in names if self.pixels.has(name)[number])
            while not found[number] and (name := next(rest, None)) is not None:
                look(name)
            if not found[number]:
                reason, name = next(iter(reasons.items()), ("", ""))
                where = self.pixels.key if band is None else f"{self.pixels.key}.{band}"
                raise GalgenError(
                    f"{where}={self.pixels.sources[band].pattern}: no cutout can be used, such as "
                    f"{name}: {reason}. {self._remedy(name)}".rstrip()
                )
        return found, sides

    def _remedy(self, name: str) -> str:
        source = next(s for s in self.pixels.sources.values() if name in s.places)
        try:
            pixels, _ = source.read(source.places[name])
        except Unusable as error:
            return "" if isinstance(error.__cause__, Several) else "Give other files."
        if pixels.ndim == 3:
            return (
                f"A cutout has the shape {pixels.shape}. If it has several bands, name them: "
                "cutouts.bands=[<name>,...]."
            )
        return f"A cutout has the shape {pixels.shape}."

    def _name_bands(self, cards: tuple[str, ...], notes: list[str]) -> list[str]:
        if isinstance(self.images, dict):
            bands = [str(band) for band in self.images]
            if self.bands is not None and self.bands != bands:
                raise GalgenError(
                    f"cutouts.bands=[{','.join(self.bands)}]: cutouts.images gives the bands "
                    f"{', '.join(bands)}. Leave cutouts.bands out."
                )
            return bands
        if self.bands is not None:
            if len(set(self.bands)) < len(self.bands):
                raise GalgenError(
                    f"cutouts.bands=[{','.join(self.bands)}]: two have one name. Name each."
                )
            return self.bands
        band = calibrate(cards, Given()).band
        if band is None:
            notes.append("the name of the band is unknown; cutouts.bands=[<name>] gives it")
        return [band or UNKNOWN_BAND]

    def _check_keys(self, bands: list[str]) -> None:
        """Refuse what is given for bands that there are not."""
        for key in ("rms", "weight", "psf", "unit", "zero_point"):
            given = getattr(self, key)
            if not isinstance(given, dict):
                continue
            for band in given:
                if band not in bands:
                    raise GalgenError(
                        f"cutouts.{key}.{band}: the cutouts have no band {band}"
                        f"{did_you_mean(str(band), bands) or '.'} There are {', '.join(bands)}."
                    )
            if key in ("rms", "weight", "psf") and list(given) != bands:
                raise GalgenError(
                    f"cutouts.{key}: it is given for {', '.join(map(str, given))}. Give it for "
                    f"{', '.join(bands)}, in this order, or one for all."
                )

    def _identifiers(self, names: list[str], ids: np.ndarray | None) -> dict[str, np.ndarray]:
        """Return `galaxy_id`, and `catalogue_id` where the names are no plain integers."""
        texts = list(names if ids is None else ids)
        plain = plain_names(texts)
        integers, others = identifiers(Column(plain, name="id"), "cutouts", [], "cutouts.columns")
        if integers is None:
            return {"galaxy_id": np.arange(len(names)), "catalogue_id": others}
        encoded = {} if plain == texts else {"catalogue_id": np.char.encode(np.array(texts))}
        return {"galaxy_id": integers, **encoded}

    def inputs(self) -> list[Path]:
        """Return the files of the cutouts, of what goes with them, and of the table."""
        images = [self.pixels, *self.companions.values()]
        others = [file_and_part(item)[0] for item in (self.table, self.ids) if item is not None]
        return [path for each in images for path in each.inputs()] + others

    @cached_property
    def identities(self) -> dict[str, str]:
        """A hash of each input by its pattern.

        It is that of the content of the table, and of the names, sizes and times of other files.
        """
        images = [self.pixels, *self.companions.values()]
        found = {
            source.pattern + (f"[{source.part}]" if source.part else ""): source.identity()
            for each in images
            for source in each.sources.values()
        }
        if self.table is not None:
            found[str(self.table)] = sha256(file_and_part(self.table)[0])
        if self.ids is not None:
            found[str(self.ids)] = hashlib.sha256("\n".join(self.row_names).encode()).hexdigest()
        short = {Path(name).name: digest for name, digest in found.items()}
        return short if len(short) == len(found) else found


def _of(given, band: str):
    """Return what is given for a band, or for all of them."""
    return given.get(band) if isinstance(given, dict) else given


def _natural(name: str) -> tuple:
    """Sort 9 before 10, and numbers before text."""
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)
