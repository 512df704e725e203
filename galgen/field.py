"""`python -m galgen.field`: a sky of generated galaxies, as an image and its true galaxies."""

import math
import time
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from galgen.config.command import command
from galgen.config.rules import check_whole_numbers
from galgen.errors import GalgenError
from galgen.files import check_space, expand, refuse_to_replace
from galgen.runs.prior_records import the_one_prior

LARGEST = 200_000
"""Side of the image, px, at most."""


@command("field", words="run", resumes=False)
def main(config: DictConfig) -> None:
    """Draw a field into a FITS file, its true galaxies into another, and compare detections."""
    check(config)
    from galgen.catalogues.field_files import write_field
    from galgen.catalogues.fields import Field, Sky, check_run
    from galgen.runs.trained_run import TrainedRun

    run = TrainedRun(config.run, "cpu")
    psf = str(config.psf)
    band = check_run(run, psf, config.band)
    sky = Sky(
        run=str(run.directory),
        size=float(config.size),
        pixel_scale=float(config.pixel_scale or run.pixel_scale),
        density=float(config.density),
        faintest=None if config.faintest is None else float(config.faintest),
        psf=psf,
        noise=float(config.noise),
        shear=tuple(float(value) for value in config.shear),
        magnification=float(config.magnification),
        band=band,
        prior=run.prior_for(the_one_prior(config.prior), {}),
        seed=config.seed,
    )
    out = expand(config.out)
    paths = [out, out.with_name(f"{out.stem}_truth.fits")]
    if sky.side > LARGEST:
        raise GalgenError(
            f"size={config.size}: the image would be {sky.side} px wide, more than {LARGEST}. Give "
            "a smaller size or larger pixels."
        )
    if not config.overwrite:
        refuse_to_replace(out, paths)
    check_space("out", out, "its pixels", 4.0 * sky.side**2)
    field = Field(sky, run, config.processes)
    print(f"{out}: {sky.side} x {sky.side} px of {sky.pixel_scale:g} arcsec, {len(field)} galaxies")
    started = time.perf_counter()
    truth = write_field(field, run, *paths)
    print(f"{paths[1]}: {len(truth)} galaxies; {time.perf_counter() - started:.1f} s")
    if config.detect:
        compare(field, out, truth)


def check(config: DictConfig) -> None:
    """Check what needs no run.

    Raises:
        GalgenError: if a value is out of range.
    """
    check_whole_numbers(config, {"seed": 0})
    if config.processes is not None:
        check_whole_numbers(config, {"processes": 1})
    the_one_prior(config.prior)
    for key in ("size", "density", "magnification", "pixel_scale"):
        value = config[key]
        if value is not None and not (isinstance(value, int | float) and 0 < value < math.inf):
            raise GalgenError(f"{key}={value}: it must be positive.")
    if not (isinstance(config.noise, int | float) and 0 <= config.noise < math.inf):
        raise GalgenError(f"noise={config.noise}: give the standard deviation of a pixel, or 0.")
    shear = list(config.shear)
    if len(shear) != 2 or not np.hypot(*map(float, shear)) < 1:
        raise GalgenError(f"shear={shear}: give g1 and g2, together less than 1: [0.02,0].")
    if Path(str(config.out)).suffix != ".fits":
        raise GalgenError(f"out={config.out}: give a name that ends in .fits.")


def compare(field, out: Path, truth: np.ndarray) -> None:
    """Detect sources in the field, and draw them beside the true galaxies."""
    try:
        from galgen.figures.field_counts import detections, draw_counts
    except ModuleNotFoundError as error:
        print(f"sources are not detected: that needs {error.name}; pip install 'galgen[mosaics]'")
        return
    from galgen.figures.saving import save_all

    found = detections(out, field.sky)
    if found is None:
        print("sources are not detected: the field is too large, or holds none")
        return
    for path in save_all({f"{out.stem}_counts": draw_counts(field.sky, truth, found)}, out.parent):
        print(path)


if __name__ == "__main__":
    main()
