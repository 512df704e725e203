"""The PSFs and the noise that a survey's galaxies were taken with, without the galaxies."""

from pathlib import Path

import h5py
import numpy as np

from galgen.data.noise_correlation import without_correlation
from galgen.data.psfs import read_psfs
from galgen.data.stamp_file import StampFile
from galgen.errors import GalgenError
from galgen.files import reading, written_whole

KEPT = 64
"""Galaxies whose PSF and noise a file keeps, at most."""


class Exposures:
    """The PSF and the noise of some galaxies of a stamp file.

    Args:
        stamps: the stamp file.
        rows: of the galaxies in it, (N,).

    Attributes:
        source: the file, for messages.
        has_psfs: whether the PSFs are known.
        has_noise: whether the noise is.
        correlation: of the noise by offset, (B, h, w), 1 in the middle.
    """

    def __init__(self, stamps: StampFile, rows: np.ndarray):
        self.stamps, self.rows, self.source = stamps, rows, stamps.path
        self.has_psfs = "psf" in stamps.stacks
        self.has_noise = "noise_variance" in stamps.columns
        self.correlation = stamps.noise_correlation
        if self.correlation is None:
            self.correlation = without_correlation(len(stamps.bands))

    def __len__(self) -> int:
        return len(self.rows)

    def psfs(self, places: np.ndarray) -> np.ndarray:
        """Return the PSFs of galaxies by their places (n,) among these, (n, B, h, w) float32."""
        return read_psfs(self.stamps, self.rows[places])

    def noise_variance(self, places: np.ndarray) -> np.ndarray:
        """Return the variance of a pixel by place (n,), (n, B); 0 in a band that a galaxy lacks."""
        rows = self.rows[places]
        return np.where(self.stamps.has_band[rows], self.stamps.columns["noise_variance"][rows], 0)

    def keep(self, path: Path) -> None:
        """Write PSF and noise of KEPT galaxies, evenly taken of these, to a file.

        Args:
            path: an HDF5 file.
        """
        places = np.unique(np.linspace(0, len(self) - 1, KEPT).round().astype(int))
        with written_whole(path) as part, h5py.File(part, "w") as file:
            file["noise_correlation"] = self.correlation
            if self.has_psfs:
                distinct, index = np.unique(self.psfs(places), axis=0, return_inverse=True)
                file.create_dataset("psf", data=distinct, compression="gzip", shuffle=True)
                file["psf_index"] = index.reshape(-1)
            if self.has_noise:
                file["noise_variance"] = self.noise_variance(places)


class KeptExposures:
    """The PSF and the noise that `Exposures.keep` wrote; used alike.

    Args:
        path: the file.

    Raises:
        GalgenError: if it is damaged.
    """

    def __init__(self, path: Path):
        self.source = path
        try:
            with reading(path), h5py.File(path) as file:
                found = {name: item[()] for name, item in file.items()}
            self.correlation = found["noise_correlation"].astype(np.float32)
            self._psfs, self._index = found.get("psf"), found.get("psf_index")
            self._variance = found.get("noise_variance")
            self._number = len(self._index if self._variance is None else self._variance)
        except (OSError, KeyError, TypeError) as error:
            raise GalgenError(f"{path} is damaged: {error}") from error
        self.has_psfs, self.has_noise = self._psfs is not None, self._variance is not None

    def __len__(self) -> int:
        return self._number

    def psfs(self, places: np.ndarray) -> np.ndarray:
        """Return the PSFs of galaxies by their places (n,) among these, (n, B, h, w) float32."""
        return self._psfs[self._index[places]].astype(np.float32)

    def noise_variance(self, places: np.ndarray) -> np.ndarray:
        """Return the variance of a pixel by place (n,), (n, B); 0 in a band that a galaxy lacks."""
        return self._variance[places]
