"""Stamps from cutouts: in one size, sky-subtracted, in one unit."""

import json
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import astropy
import numpy as np
from astropy.nddata import overlap_slices

from galgen.config.wording import said
from galgen.data.bands import band_names, check_there
from galgen.data.surveys.cutouts.cutout_files import Unusable
from galgen.data.surveys.cutouts.cutout_layer import MANY, Layer, brightest, measured
from galgen.data.surveys.cutouts.cutout_psfs import CutoutPsfs
from galgen.data.surveys.cutouts.cutouts import SAMPLE, Cutouts
from galgen.data.surveys.photometry import zero_point_attrs
from galgen.data.surveys.source import Source

RECIPE = 1
"""Counts the changes of the recipe."""
MISSING, PADDED, CROPPED, ZEROS = 1, 2, 4, 8
"""Bits of the column `flag`."""


class CutoutsSource(Source):
    """Stamps from cutouts, cropped or padded around their centre, never resampled.

    Noise fills the pixels that have no data or lie outside of the cutout; they have weight 0. It is
    white, and a function of the galaxy's number.

    Args:
        cutouts: the cutouts.
        image_size: side of the stamps, px; the median of the cutouts' where None.
        bands: names of bands that the user wants; the cutouts must have them.
        **arguments: of `Source`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        cutouts: Cutouts,
        image_size: int | None = None,
        bands: str | Sequence[str] | None = None,
        **arguments,
    ):
        super().__init__(**arguments)
        if image_size is not None and image_size < 1:
            raise ValueError(f"data.image_size={image_size}: it must be positive.")
        self.cutouts, self.image_size, self.bands = cutouts, image_size, band_names(bands)
        self.psfs: CutoutPsfs | None = None

    def inputs(self) -> list[Path]:
        """Return the user's files that the stamps are made of."""
        return self.cutouts.inputs() + ([] if self.psfs is None else self.psfs.inputs())

    def given(self) -> str:
        """Return the key and value that name the cutouts."""
        return f"cutouts.images={said(self.cutouts.images)}"

    def __len__(self) -> int:
        return len(self.cutouts.facts.names)

    def open(self) -> None:
        """Find the files, join the table, and look at some cutouts.

        Raises:
            GalgenError: if they cannot be used together.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # details of the FITS standard
            self._open()

    def _open(self) -> None:
        cutouts, facts = self.cutouts, self.cutouts.facts
        self.notes = list(facts.notes)
        check_there(self.bands or [], facts.bands, "the cutouts have")
        if self.image_size is None:
            self.image_size = facts.side
            self.notes.append(f"stamps of {facts.side} px, the median size; data.image_size=<px>")
        looked_at = facts.names[:: max(1, len(facts.names) // SAMPLE)]
        if cutouts.rms is not None or cutouts.weight is not None:
            self._judge_noise(looked_at)
        if cutouts.psf is not None:
            self.psfs = CutoutPsfs(cutouts.psf, cutouts.row_names, facts.bands, looked_at)
        _ = cutouts.identities  # here once, so that no other process looks at the files for them

    def _judge_noise(self, names: list[str]) -> None:
        """Say where the noise that is given is not that at the edges of the cutouts."""
        ratios: list[list[float]] = [[] for _ in self.cutouts.facts.bands]
        for name in names:
            with suppress(Unusable):
                for layer, found in zip(self._layers(name), ratios, strict=True):
                    if layer is not None:
                        found.append(layer.scatter / layer.noise)
        for band, found in zip(self.cutouts.facts.bands, ratios, strict=True):
            ratio = float(np.nanmedian(found)) if found else 1.0
            if not 0.8 < ratio < 1.25:
                far = "" if 0.2 < ratio < 5 else ". Are they variances, or relative weights?"
                self.notes.append(
                    f"the noise at the edges of the cutouts in {band} is typically {ratio:.3g} "
                    f"times that of cutouts.{'weight' if self.cutouts.rms is None else 'rms'}{far}"
                )

    def stamp_bytes(self) -> int:
        """Return about how many bytes a stamp takes, with its weights."""
        return 8 * len(self.cutouts.facts.bands) * self.image_size**2

    def attrs(self) -> dict:
        """Return the stamp file's attributes."""
        cutouts, facts = self.cutouts, self.cutouts.facts
        common = facts.common
        files = dict(cutouts.identities)
        if self.psfs is not None:
            files["cutouts.psf"] = self.psfs.identity()
        points = [c.zero_point for c in common]
        recipe = {"source": "cutouts", "recipe": RECIPE, "image_size": self.image_size}
        recipe |= {"bands": facts.bands, "files": list(files.values())}
        recipe |= {"calibration": [(c.unit, c.zero_point, c.pixel_scale) for c in common]}
        recipe |= {name: getattr(cutouts, name) for name in ("rms", "columns", "sky", "recentre")}
        versions = {"astropy": astropy, "numpy": np}
        scale = common[0].pixel_scale
        return {
            "survey": "cutouts",
            "bands": facts.bands,
            "reference_band": facts.bands[facts.reference],
            "unit": common[0].unit,
            **({} if scale is None else {"pixel_scale": scale}),
            **zero_point_attrs(points),
            "recipe": json.dumps(recipe),
            "source_files": json.dumps(files),
            "versions": ", ".join(f"{name} {item.__version__}" for name, item in versions.items()),
        }

    def tables(self) -> dict[str, np.ndarray]:
        """Return the PSF that all galaxies share, if there is one."""
        shared = self.psfs is not None and self.psfs.shared is not None
        return {"psf": self.psfs.shared[None]} if shared else {}

    def review(self, columns: dict[str, np.ndarray]) -> None:
        """Say how the cutouts became stamps."""
        bands, flag = self.cutouts.facts.bands, columns["flag"]
        has = columns["has_band"].reshape(len(flag), -1) > 0
        noise = np.sqrt(columns["noise_variance"].reshape(len(flag), -1))
        sky = columns["sky"].reshape(len(flag), -1)
        for number, band in enumerate(bands):
            in_band = f" in {band}" if len(bands) > 1 else ""
            here = has[:, number]
            if not here.all():
                self.notes.append(
                    f"{(~here).sum()} of {len(flag)} stamps have no data in {band}, and weight 0"
                )
            ratio = np.abs(sky[here, number]) / noise[here, number]
            if np.isfinite(ratio).any() and self.cutouts.sky == "edges":
                self.notes.append(
                    f"the sky at the edges{in_band} is typically {np.nanmedian(ratio):.2g} times "
                    "the noise of a pixel, and is subtracted"
                )
            if not np.isfinite(noise[here, number]).any():
                self.notes.append(
                    f"the noise{in_band} is unknown, the edges of the cutouts do not vary; "
                    "cutouts.rms gives it"
                )
        said = {
            MISSING: "have pixels without data, which noise fills",
            PADDED: "are padded with noise",
            CROPPED: "are cropped",
            ZEROS: f"have more than {MANY:.0%} pixels of exactly 0, which are taken for data; give "
            "cutouts.weight or cutouts.rms if they are missing",
        }
        for bit, what in said.items():
            count = int(((flag & bit) > 0).sum())
            if count:
                self.notes.append(f"{count} of {len(flag)} stamps {what}")

    def draw(self, numbers: range) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        """Make the stamps of some galaxies.

        Args:
            numbers: numbers of the galaxies.

        Returns:
            `image` and `weight` (n, B, H, W), 1 where there are data and else 0. Columns (n, B):
            `noise_variance` (unit^2), `background` (the noise, as if it were white), `sky` (what
            was subtracted), `has_band`; `magnitude` where known. Columns (n,): `galaxy_id`;
            `catalogue_id`, if that is no integer; `redshift`; `flux_radius`, `ra`, `dec` where the
            table has them; `flag`, a sum of 1 (pixels without data), 2 (padded), 4 (cropped) and 8
            (many pixels of exactly 0). Then the galaxies without a stamp, with the reason.
        """
        facts, made, reasons = self.cutouts.facts, {}, {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # details of the FITS standard
            for number in numbers:
                try:
                    made[number] = self._stamp(number)
                except Unusable as error:
                    reasons[facts.names[number]] = str(error)
        bands, size = len(facts.bands), self.image_size
        shapes = dict.fromkeys(("image", "weight"), (bands, size, size))
        kinds = {"noise_variance": float, "background": float, "sky": float, "has_band": np.uint8}
        shapes |= dict.fromkeys(kinds, (bands,))
        kinds |= {"image": np.float32, "weight": np.float32, "flag": np.int64}
        shapes["flag"] = ()
        if self.psfs is not None and self.psfs.each is not None:
            shapes |= {"psf": (bands, self.psfs.side, self.psfs.side), "has_psf": ()}
            kinds |= {"psf": np.float32, "has_psf": np.uint8}
        arrays = {
            name: np.array([stamp[name] for stamp in made.values()], kinds[name]).reshape(
                -1, *shape
            )
            for name, shape in shapes.items()
        }
        arrays |= {name: values[list(made)] for name, values in facts.columns.items()}
        if "redshift" not in arrays:
            arrays["redshift"] = np.full(len(made), np.nan, np.float32)
        if self.tables():
            arrays["psf_index"] = np.zeros(len(made), np.int64)
        return arrays, reasons

    def _stamp(self, number: int) -> dict[str, np.ndarray]:
        """Make a stamp.

        Raises:
            Unusable: if there is none.
        """
        cutouts, size = self.cutouts, self.image_size
        name = cutouts.facts.names[number]
        layers = self._layers(name)
        there = [layer for layer in layers if layer is not None]
        if len({tuple(side % 2 for side in layer.data.shape) for layer in there}) > 1:
            raise Unusable("its bands have cutouts of odd and of even size, half a pixel apart")
        shift = brightest(there[0]) if cutouts.recentre else (0, 0)
        rng = np.random.default_rng(number)
        image = np.zeros((len(layers), size, size), np.float32)
        weight = np.zeros_like(image)
        flag = 0
        for layer, pixels, known in zip(layers, image, weight, strict=True):
            if layer is None:
                continue
            shape = layer.data.shape
            centre = [side // 2 + step for side, step in zip(shape, shift, strict=True)]
            out, into = overlap_slices(shape, (size, size), centre, mode="partial")
            pixels[into] = layer.data[out]
            known[into] = ~layer.missing[out]
            inside = [(part.stop - part.start) for part in into]
            flag |= CROPPED * any(n < side for n, side in zip(inside, shape, strict=True))
            flag |= PADDED * any(n < size for n in inside)
            flag |= MISSING * bool(layer.missing[out].any()) | ZEROS * layer.zeros
            empty = known == 0
            if empty.any():
                noise = np.nan_to_num(layer.noise) * rng.standard_normal(int(empty.sum()))
                pixels[empty] = layer.level + noise
        noise = np.array([np.nan if layer is None else layer.noise for layer in layers])
        stamp = {
            "image": image,
            "weight": weight,
            "noise_variance": noise**2,
            "background": noise,
            "sky": [np.nan if layer is None else layer.sky for layer in layers],
            "has_band": [layer is not None for layer in layers],
            "flag": flag,
        }
        if self.psfs is not None and self.psfs.each is not None:
            psf = self.psfs.of(name)
            nothing = np.zeros((len(layers), self.psfs.side, self.psfs.side))
            stamp |= {"psf": nothing if psf is None else psf, "has_psf": psf is not None}
        return stamp

    def _layers(self, name: str) -> list[Layer | None]:
        """Read a galaxy in each band, None where it has no data.

        Raises:
            Unusable: if a file is bad, or the galaxy has data in no band.
        """
        cutouts, facts = self.cutouts, self.cutouts.facts
        bands = len(facts.bands)
        images = cutouts.pixels.read(name, bands)
        maps = {role: item.read(name, bands) for role, item in cutouts.companions.items()}
        layers, why = [], ""
        for number, item in enumerate(images):
            layer = None
            if item is not None:
                pixels, cards = item
                factor = cutouts.factor(number, cards)
                noise = self._noise(number, pixels.shape, maps, factor)
                layer = measured(pixels, noise, factor, cutouts.sky == "edges")
            if isinstance(layer, str):
                layer, why = None, why or layer
            layers.append(layer)
        if not any(layers):
            raise Unusable(why)
        return layers

    def _noise(
        self, number: int, shape: tuple[int, int], maps: dict[str, list], factor: float
    ) -> np.ndarray | float | None:
        """Return the noise of each pixel (H, W), NaN without data; of all; or None if unknown."""
        constant = self.cutouts.constant_noise(number)
        if constant is not None:
            return constant * factor
        for role, found in maps.items():
            if found[number] is None:
                raise Unusable(f"it has no file of cutouts.{role}")
            values = np.asarray(found[number][0], np.float32)
            if values.shape != shape:
                raise Unusable(f"its file of cutouts.{role} has another shape than the cutout")
            values = np.where(np.isfinite(values) & (values > 0), values, np.nan)
            return factor * (values if role == "rms" else 1 / np.sqrt(values))
        return None
