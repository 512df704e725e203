"""Stamps of real COSMOS galaxies from a release in GalSim's layout."""

import hashlib
import json
from pathlib import Path

import galsim
import numpy as np

from galgen.data.surveys.cosmos.download import fetch_release
from galgen.data.surveys.cosmos.release import EXCLUSION_LEVELS, Release
from galgen.data.surveys.cosmos_noise import (
    ZERO_POINT,
    correlation_image,
    cosmos_noise,
    level_of_unit_variance,
    noise_correlation,
    noise_image,
)
from galgen.data.surveys.source import Source
from galgen.errors import GalgenError
from galgen.files import cache_folder, expand, sha256

VERSION = 2
"""Counts the changes of the recipes."""
RECIPES = ("physical", "seed")
PSF_SIZE = 63
"""Side of the PSF images, px."""
UNREADABLE = (OSError, LookupError, ValueError, TypeError, AttributeError, galsim.GalSimError)
"""What astropy and GalSim raise for damaged image files."""


class CosmosSource(Source):
    """Real galaxies from HST/ACS F814W imaging of the COSMOS field.

    Two recipes. `physical`: the native pixels, counts/s, cropped or padded with the correlated
    noise of the mosaic around it, and the PSF. `seed`: the original project's stamps, which are
    the galaxy convolved with its own PSF and padded alike, less the background, without negative
    pixels, with a peak of 1 (Adam et al. 2022; github.com/AlexandreAdam/Censai).

    Args:
        survey: name of the survey.
        release: folder of a release; downloaded where None.
        sample: name of the archive to download, without `.tar.gz`.
        record: address of the metadata of the archive's Zenodo record.
        downloads: folder for it; the cache folder where None.
        checksum: `md5:...` or `sha256:...` of the archive; the record's where None.
        recipe: `physical` or `seed`.
        image_size: side of the stamps, px.
        exclusion_level: of `galsim.COSMOSCatalog`, where the release has a selection catalogue.
        min_flux: least flux of a galaxy, counts/s.
        max_magnitude: faintest magnitude, AB; any where None.
        min_radius: least flux radius, arcsec.
        **arguments: as `Source`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        survey: str,
        sample: str,
        record: str,
        downloads: str | None = None,
        release: str | None = None,
        checksum: str | None = None,
        recipe: str = "physical",
        image_size: int = 158,
        exclusion_level: str = "marginal",
        min_flux: float = 0.0,
        max_magnitude: float | None = None,
        min_radius: float = 0.0,
        **arguments,
    ):
        super().__init__(**arguments)
        for name, value, known in (
            ("recipe", recipe, RECIPES),
            ("prepare.exclusion_level", exclusion_level, EXCLUSION_LEVELS),
        ):
            if value not in known:
                raise ValueError(f"{name}={value}: it can be one of {', '.join(known)}.")
        if image_size < 1:
            raise ValueError(f"prepare.image_size={image_size}: it must be positive.")
        self.survey, self.recipe, self.image_size = survey, recipe, image_size
        self.folder = expand(release) if release else None
        folder = expand(downloads) if downloads else cache_folder()
        self.archive = (sample, folder, record, checksum)
        self.cuts = (exclusion_level, min_flux, max_magnitude, min_radius)

    def open(self) -> None:
        """Get the release, and choose galaxies by its catalogues."""
        if self.folder is None:
            self.folder = fetch_release(*self.archive)
        release = Release(self.folder)
        rows, self.notes = release.select(*self.cuts)
        # Galaxies of one image file follow each other, so that a process has one open at a time.
        _, first, file = np.unique(
            release.column("GAL_FILENAME")[rows], return_index=True, return_inverse=True
        )
        self.rows = rows[np.argsort(first[file], kind="stable")]
        self.columns = release.columns(self.rows)
        self.notes.append(f"{np.isnan(self.columns['redshift']).sum()} of them have no redshift")
        self.images = release.file_sizes("GAL_FILENAME", self.rows)
        self.psfs = release.file_sizes("PSF_FILENAME", self.rows)
        for kind, sizes in (("image", self.images), ("PSF", self.psfs)):
            missing = [name for name, size in sizes.items() if size is None]
            if missing:
                self.notes.append(
                    f"{len(missing)} of {len(sizes)} {kind} files are missing, the first is "
                    f"{self.folder / missing[0]}"
                )
        self.galaxies = galsim.RealGalaxyCatalog(str(release.path))
        self._attrs = self._describe(release)

    def __len__(self) -> int:
        """Return the number of galaxies chosen."""
        return len(self.rows)

    def attrs(self) -> dict:
        """Return the stamp file's attributes."""
        return self._attrs

    def start_worker(self) -> None:
        """Keep GalSim to one thread a process."""
        galsim.set_omp_threads(1)

    def draw(self, numbers: range) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        """Make the stamps of some galaxies; those whose pixels are missing or bad are left out."""
        stamps, good, left_out = [], [], {}
        for number in numbers:
            name = str(self.columns["galaxy_id"][number])
            try:
                stamps.append(self._stamp(number))
                good.append(number)
            except GalgenError as reason:
                left_out[name] = str(reason)
            except galsim.GalSimError as error:
                left_out[name] = f"GalSim cannot draw it: {str(error).splitlines()[0]}"
        if not stamps:
            return {"image": np.empty((0, self.image_size, self.image_size))}, left_out
        block = {name: column[good] for name, column in self.columns.items()}
        block |= {name: np.array([stamp[name] for stamp in stamps]) for name in stamps[0]}
        return block, left_out

    def _describe(self, release: Release) -> dict:
        unit = {"unit": "peak"}
        if self.recipe == "physical":
            unit = {"unit": "counts/s", "zero_point": [ZERO_POINT]}
            unit["noise_correlation"] = noise_correlation()[None]
        tables = {path.name: sha256(path) for path in release.tables}
        options = [VERSION, self.recipe, self.image_size, *self.cuts, tables]
        options += [self.images, self.psfs]
        digest = hashlib.sha256(json.dumps(options).encode()).hexdigest()
        return {
            "survey": self.survey,
            "bands": [release.band],
            **unit,
            "pixel_scale": release.pixel_scale,
            "recipe": f"galgen {self.recipe} recipe {VERSION}, {self.image_size} px, {digest}",
            "source_files": json.dumps(tables),
            "versions": f"galsim {galsim.__version__}, numpy {np.__version__}",
        }

    def _stamp(self, number: int) -> dict[str, np.ndarray]:
        """Make a galaxy's stamp, and what else depends on its pixels.

        Raises:
            GalgenError: if the pixels are missing or bad.
        """
        row, variance = int(self.rows[number]), float(self.columns["noise_variance"][number])
        if not 0 < variance < np.inf:
            raise GalgenError(f"the catalogue's noise variance is {variance}")
        pixels = self._pixels(row)
        rng = galsim.BaseDeviate(int(self.columns["galaxy_id"][number]) % 2**31 + 1)
        psf = self._psf(row)
        background = np.sqrt(variance) * level_of_unit_variance()
        if self.recipe == "physical":
            image = _padded(pixels.array, self.image_size, variance, rng)
            stamp = {"image": image, "background": background}
            if any(self.psfs.values()):
                stamp |= {"psf": _psf_image(psf), "has_psf": psf is not None}
        else:
            image = _convolved(pixels, psf, self.image_size, variance, rng)
            light = np.clip(image - background, 0, None)
            if not light.max() > 0:
                raise GalgenError("no pixel is brighter than the background")
            stamp = {"image": light / light.max(), "background": 0.0}
            stamp["noise_variance"] = variance / light.max() ** 2
        stamp["image"] = stamp["image"].astype(np.float32)
        return stamp | {"native_size": min(pixels.array.shape)}

    def _pixels(self, row: int) -> galsim.Image:
        """Read a galaxy's image, counts/s.

        Raises:
            GalgenError: if it is missing or bad.
        """
        path = Path(self.galaxies.gal_file_name[row])
        if self.images[path.name] is None:
            raise GalgenError(f"image file {path.name} is missing")
        if str(path) not in self.galaxies.loaded_files:
            self.galaxies.close()  # GalSim caches the files that it has read
        try:
            pixels = self.galaxies.getGalImage(row)
        except UNREADABLE as error:
            raise GalgenError(f"its image in {path.name} cannot be read") from error
        if not pixels.array.size or self.galaxies.gal_hdu[row] < 0:
            raise GalgenError("it has no pixels")
        if not np.isfinite(pixels.array).all():
            raise GalgenError("NaN or infinite pixels")
        if pixels.array.min() == pixels.array.max():
            raise GalgenError("all pixels are the same")
        return pixels

    def _psf(self, row: int) -> galsim.Image | None:
        """Read a galaxy's PSF, if there is one."""
        if not self.psfs or not self.psfs[Path(self.galaxies.psf_file_name[row]).name]:
            return None
        try:
            psf = self.galaxies.getPSFImage(row)
        except UNREADABLE:
            return None
        return psf if np.isfinite(psf.array).all() and psf.array.sum() > 0 else None


def _padded(pixels: np.ndarray, size: int, variance: float, rng) -> np.ndarray:
    """Crop an image (h, w) around its centre, or put it into noise: (size, size)."""
    stamp = np.zeros((size, size), np.float32)
    if min(pixels.shape) < size:
        stamp = noise_image(size, rng, variance)
    # The middle of an odd image goes where GalSim has the middle of an even one.
    into, out = zip(*(_overlap(side, size) for side in pixels.shape), strict=True)
    stamp[into] = pixels[out]
    return stamp


def _overlap(side: int, size: int) -> tuple[slice, slice]:
    """Say which part of `size` px is covered by a centred `side` px, and by which part of these."""
    start = (size - side + 1) // 2
    low, high = max(start, 0), min(start + side, size)
    return slice(low, high), slice(low - start, high - start)


def _convolved(
    pixels: galsim.Image, psf: galsim.Image | None, size: int, variance: float, rng
) -> np.ndarray:
    """Draw the galaxy convolved with its own PSF, in the same noise, as GalSim's RealGalaxy."""
    padding = size * pixels.scale
    if psf is None:  # deconvolution and convolution with one PSF leave the image as it was
        galaxy = galsim.InterpolatedImage(
            pixels, noise_pad_size=padding, noise_pad=cosmos_noise(rng, variance), rng=rng
        )
    else:
        parts = (pixels, psf, correlation_image(), pixels.scale, variance)
        deconvolved = galsim.RealGalaxy(parts, noise_pad_size=padding, rng=rng)
        galaxy = galsim.Convolve(deconvolved, deconvolved.original_psf)
    stamp = galaxy.drawImage(
        nx=size, ny=size, scale=pixels.scale, method="no_pixel", use_true_center=False
    )
    return stamp.array


def _psf_image(psf: galsim.Image | None) -> np.ndarray:
    """Crop or pad a PSF to the common size, sum 1; NaN where there is none."""
    if psf is None:
        return np.full((PSF_SIZE, PSF_SIZE), np.nan, np.float32)
    image = np.zeros((PSF_SIZE, PSF_SIZE), np.float32)
    into, out = zip(*(_overlap(side, PSF_SIZE) for side in psf.array.shape), strict=True)
    image[into] = psf.array[out]
    return image / image.sum()
