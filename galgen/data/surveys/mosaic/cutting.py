"""One stamp, cut from a section of a mosaic in all its bands."""

from dataclasses import dataclass

import numpy as np
from astropy.nddata import Cutout2D
from skimage.segmentation import expand_labels

from galgen.data.surveys.mosaic import detection

GROW = 4
"""Pixels around a neighbour that are replaced too: they hold its light below the threshold."""
MISSING, NEIGHBOUR, DEBLENDED = 1, 2, 4
"""Bits of the column `flag`."""


@dataclass
class Cutter:
    """Cuts stamps of one size.

    Attributes:
        size: side of the stamps, px.
        neighbours: how other sources are treated, `noise`, `mask` or `keep`.
        filters: of the noise in each band, (B,), see `noise_filter`.
    """

    size: int
    neighbours: str
    filters: list[np.ndarray]

    def cut(
        self, planes: list, segments: np.ndarray, centre: tuple[int, int], row: dict, number: int
    ) -> dict | str:
        """Cut a stamp in all bands.

        Args:
            planes: data and noise of the section (H, W) in each band; noise is None where unknown.
            segments: numbers of its sources (H, W).
            centre: x and y of the stamp in the section, px.
            row: of the columns of the detection.
            number: of the candidate, from which the noise is drawn.

        Returns:
            `image`, `weight` (B, size, size); `noise_variance`, `background`, `has_band` (B,);
            `flag`. If no band has data, the reason.
        """
        wide = self._around(segments, 0, centre, self.size + 2 * GROW)
        near = expand_labels(wide, GROW)[GROW:-GROW, GROW:-GROW]
        others = (near != 0) & (near != row["segment"])
        rng = np.random.default_rng(number)
        bands = [
            self._cut_band(*plane, others, centre, {**row, **_of_band(row, band)}, band, rng)
            for band, plane in enumerate(planes)
        ]
        if not any(band["has_band"] for band in bands):
            return "its pixels with data have one value"
        names = ("image", "weight", "noise_variance", "background", "has_band")
        stamp = {name: np.stack([band[name] for band in bands]) for name in names}
        flag = np.bitwise_or.reduce([band["flag"] for band in bands])
        return {**stamp, "flag": flag | DEBLENDED * row["deblended"]}

    def _around(
        self, array: np.ndarray, fill: float, centre: tuple[int, int], size: int
    ) -> np.ndarray:
        return Cutout2D(array, centre, size, mode="partial", fill_value=fill).data

    def _cut_band(
        self,
        data: np.ndarray,
        noise: np.ndarray | None,
        others: np.ndarray,
        centre: tuple[int, int],
        row: dict,
        band: int,
        rng: np.random.Generator,
    ) -> dict:
        image = self._around(data, np.nan, centre, self.size) - row["sky"]
        missing = np.isnan(image)
        others = others & ~missing
        # Drawn in any case, so that the noise of the other bands does not depend on this one.
        drawn = detection.draw_noise(self.filters[band], self.size, rng)
        if len(np.unique(image[~missing])) < 2:
            nothing = np.zeros_like(image)
            return {
                **{"image": nothing, "weight": nothing, "has_band": False, "flag": MISSING},
                **{"noise_variance": np.nan, "background": 0.0},
            }
        # The scale of a map may differ: those of drizzled mosaics may allow for correlated noise.
        level = row["scatter"]
        if noise is not None:
            level = row["scale"] * np.nanmedian(self._around(noise, np.nan, centre, self.size))
        fill = drawn * level
        replaced = missing | (others if self.neighbours == "noise" else False)
        image = np.where(replaced, fill, image)
        if self.neighbours == "mask":
            image[others] = 0
        changed = self.neighbours != "keep" and others.any()
        return {
            "image": image,
            "weight": ~(missing | others) if self.neighbours == "mask" else ~missing,
            "noise_variance": level**2,
            "background": level * self.filters[band].sum(),
            "has_band": True,
            "flag": MISSING * int(missing.any()) + NEIGHBOUR * int(changed),
        }


def _of_band(row: dict, band: int) -> dict:
    return {name: row[name][band] for name in ("sky", "scatter", "scale")}
