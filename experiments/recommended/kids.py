"""Cut the extended galaxies out of a prepared KiDS/VIKING field, with PSFs of its stars.

`python -m experiments.recommended.kids kids.h5 galaxies.h5 r` keeps one band, and no third word
keeps all. A star has a flux radius of 0.50 to 0.57 arcsec, a galaxy one of 0.65 to 2 arcsec; larger
ones do not fit into stamps of 9.6 arcsec, and what is brighter than 17 mag is saturated.
"""

import json
import sys
from pathlib import Path

import h5py
import numpy as np
from scipy.ndimage import center_of_mass, shift

from galgen.data.stamp_file import StampFile
from galgen.data.stamp_writing import write_stamps

STARS, EXTENDED = (0.50, 0.57), (0.65, 2.0)
"""Flux radii, arcsec."""
STAR_MAGNITUDES, BRIGHTEST = (17.5, 20.5), 17.0
SIGNAL_TO_NOISE = 10.0
SIDE = 25
"""Of the PSFs, px."""


def main() -> None:
    """Select, stack and write."""
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: python -m experiments.recommended.kids kids.h5 galaxies.h5 [band]")
    stamps = StampFile(sys.argv[1])
    bands = sys.argv[3:] or stamps.bands
    numbers = [stamps.bands.index(band) for band in bands]
    radius, magnitude = stamps.by_galaxy("flux_radius"), stamps.by_galaxy("magnitude")
    clear = stamps.by_galaxy("signal_to_noise") > SIGNAL_TO_NOISE
    clear &= stamps.has_band[:, numbers].all(axis=1)
    stars = clear & (radius > STARS[0]) & (radius < STARS[1])
    stars &= (magnitude > STAR_MAGNITUDES[0]) & (magnitude < STAR_MAGNITUDES[1])
    clear &= magnitude > BRIGHTEST
    rows = np.flatnonzero(clear & (radius > EXTENDED[0]) & (radius < EXTENDED[1]))
    block = {
        "image": stamps.read(rows, stamps.size)[:, numbers],
        "noise_variance": stamps.columns["noise_variance"][rows][:, numbers],
        "magnitude": stamps.columns["magnitude"][rows][:, numbers],
        "flux_radius": radius[rows],
        "galaxy_id": stamps.columns["galaxy_id"][rows],
        "psf_index": np.zeros(len(rows), int),
    }
    attributes = {
        "survey": "KiDS/VIKING",
        "recipe": json.dumps({"of": json.loads(stamps.attrs["recipe"]), "bands": bands}),
        "bands": bands,
        "reference_band": "r",
        "unit": stamps.attrs["unit"],
        "pixel_scale": stamps.attrs["pixel_scale"],
        "zero_point": np.asarray(stamps.attrs["zero_point"])[numbers],
        "noise_correlation": stamps.noise_correlation[numbers],
    }
    write_stamps(Path(sys.argv[2]), [block], attributes)
    chosen = stamps.read(np.flatnonzero(stars), stamps.size)[:, numbers]
    with h5py.File(sys.argv[2], "a") as file:
        file["psf"] = np.stack([stacked(chosen[:, b]) for b in range(len(bands))])[None]
    print(f"{len(rows)} extended galaxies, the PSF of {stars.sum()} stars")


def stacked(stars: np.ndarray) -> np.ndarray:
    """Return the median of stars (N, H, W), each centred and of flux 1, (SIDE, SIDE)."""
    start = (stars.shape[1] - SIDE) // 2
    inside = slice(start, start + SIDE)
    centred = []
    for star in stars:
        core = np.where(star > 0.1 * star.max(), star, 0)
        offset = start + SIDE // 2 - np.array(center_of_mass(core))
        moved = shift(star, offset, order=3, mode="nearest")[inside, inside]
        centred.append(moved / moved.sum())
    median = np.clip(np.median(centred, axis=0), 0, None)
    return (median / median.sum()).astype(np.float32)


if __name__ == "__main__":
    main()
