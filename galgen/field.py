"""`python -m galgen.field`: a sky of generated galaxies, as an image and its true galaxies."""

import math
import time
from pathlib import Path

import numpy as np
from omegaconf import DictConfig, ListConfig

from galgen.config.command import command
from galgen.config.rules import check_whole_numbers
from galgen.errors import GalgenError
from galgen.files import check_space, expand, refuse_to_replace
from galgen.runs.prior_records import the_one_prior

LARGEST = 200_000
"""Side of the image, px, at most."""
MOST_SHEAR = 0.7
BOUNDS = {
    "size": (1e-3, 1e4, "the side in arcmin"),
    "pixel_scale": (1e-4, 100, "the side of a pixel in arcsec"),
    "density": (1e-6, 1e5, "the galaxies of an arcmin2"),
    "magnification": (0.01, 100, "it"),
    "noise": (0, 1e30, "the standard deviation of a pixel"),
    "faintest": (-50, 50, "an AB magnitude"),
}
"""Smallest and largest value of a key, and what it is."""


@command("field", words="run", resumes=False)
def main(config: DictConfig) -> None:
    """Draw a field into a FITS file, its true galaxies into another, and compare detections."""
    check(config)
    from galgen.catalogues.field_files import write_field
    from galgen.catalogues.fields import Field, MockSky, check_reach, check_run
    from galgen.runs.trained_run import TrainedRun

    run = TrainedRun(config.run, "cpu")
    psf = str(config.psf)
    band = check_run(run, psf, config.band)
    sky = MockSky(
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
    check_reach(sky, run)
    if not config.overwrite:
        counts = [out.with_name(f"{out.stem}_counts{ending}") for ending in (".png", ".pdf")]
        refuse_to_replace(out, [*paths, *(counts if config.detect else [])])
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
    for key, (low, high, what) in BOUNDS.items():
        value = config[key]
        if value is not None and not (is_number(value) and low <= value <= high):
            raise GalgenError(f"{key}={value}: give {what}, a number from {low:g} to {high:g}.")
    shear = list(config.shear) if isinstance(config.shear, ListConfig) else [config.shear]
    if len(shear) != 2 or not all(map(is_number, shear)) or math.hypot(*shear) > MOST_SHEAR:
        raise GalgenError(
            f"shear={config.shear}: give g1 and g2, together at most {MOST_SHEAR}: [0.02,0]."
        )
    if Path(str(config.out)).suffix != ".fits":
        raise GalgenError(f"out={config.out}: give a name that ends in .fits.")


def is_number(value) -> bool:
    """Say whether a value of the config is a finite number."""
    return type(value) in (int, float) and math.isfinite(value)


def compare(field, out: Path, truth: np.ndarray) -> None:
    """Detect sources in the field, and draw them beside the true galaxies."""
    try:
        from galgen.figures.field_counts import detections, draw_counts
    except ModuleNotFoundError as error:
        print(f"sources are not detected: that needs {error.name}; pip install 'galgen[mosaics]'")
        return
    from galgen.figures.saving import save_all

    found = detections(out, field.sky)
    if found is None or not np.isfinite(truth["magnitude"]).any():
        print("sources are not detected: the field is too large, or holds none")
        return
    for path in save_all({f"{out.stem}_counts": draw_counts(field.sky, truth, found)}, out.parent):
        print(path)


if __name__ == "__main__":
    main()
