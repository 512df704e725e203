"""A run's galaxies as GalSim objects, and as `type: GalgenGalaxy` in GalSim's configuration.

A configuration names this module, and then has galaxies of a run by their numbers:

    modules: [galgen.catalogues.galsim_galaxies]
    gal: {type: GalgenGalaxy, run: runs/<name>, redshift: 0.7, flux: 1000}

Drawn with `method="no_pixel"` at the pixel scale of the run's light, galaxies are the model's
images again. A PSF-free model's are light in front of the telescope: convolve them with any PSF.
Other models' are galaxies as the survey saw them, through its PSF and its pixels; convolved with
the PSF of another telescope they are seen through both.
"""

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import galsim
import numpy as np
import torch
from galsim.config import GetAllParams, ParseValue, RegisterObjectType, SetDefaultIndex

from galgen.data.edges import EDGES, without_edge
from galgen.errors import GalgenError
from galgen.models.blocks import decode_block
from galgen.priors.random_numbers import REDSHIFT, uniform
from galgen.runs.conditions import STREAMS
from galgen.runs.image_facts import PEAK
from galgen.runs.requested_conditions import requested_conditions
from galgen.runs.trained_run import TrainedRun

NUMBERS = 2**31
"""Galaxies from which GalSim's `index: {type: Random}` draws; a run has no last one."""
FLUX_KEYS = ("flux", "scale_flux", "signal_to_noise")
"""What gives a galaxy a flux in GalSim's configuration."""


def objects(
    run: str | Path,
    n: int,
    redshift=None,
    seed: int = 0,
    start: int = 0,
    prior: str | None = None,
    edge: str = "keep",
    band: str | None = None,
    **conditions,
) -> Iterator[galsim.InterpolatedImage]:
    """Generate galaxies as GalSim objects; see `galgen.galsim_objects`."""
    uniform(seed, REDSHIFT, start, min(n, 0), 1)  # raises what `sample` would raise too late
    trained = run if isinstance(run, TrainedRun) else TrainedRun(run)
    light_scale(trained)
    made = Making(trained, {**conditions, "redshift": redshift}, prior, edge, band)

    def generate():
        first, block = start, decode_block(trained.model.device)
        while first < start + n:
            together = min(block - first % block, start + n - first)
            yield from made.galaxies(together, seed, first)
            first += together

    return generate()


class Making:
    """How a run's galaxies are made.

    Args:
        run: the trained run.
        keys: the requested conditions, as `galgen.runs.requested_conditions` takes them.
        prior: what latents are drawn from; the run's default where None.
        edge: `keep`, or `subtract` the level on which each galaxy stands.
        band: name of the band; needed of a run of several.

    Raises:
        GalgenError: if the prior was not fitted, a condition is missing, ignored or no such, or
            the run has no such band.
    """

    def __init__(
        self, run: TrainedRun, keys: Mapping, prior: str | None, edge: str, band: str | None = None
    ):
        unknown = set(keys) - set(STREAMS)
        if unknown:
            raise GalgenError(
                f"{min(unknown)}: there is no such condition, there are {', '.join(STREAMS)}."
            )
        if edge not in EDGES:
            raise GalgenError(f"edge={edge}: it can be {' or '.join(EDGES)}.")
        self.run, self.edge, self.prior = run, edge, run.prior_for(prior, keys)
        self.conditions = requested_conditions(run, keys, self.prior)
        self.band = band_number(run, band)

    def galaxies(self, n: int, seed: int, start: int) -> Iterator[galsim.InterpolatedImage]:
        """Generate galaxies `start` to `start + n - 1`, decoded at once.

        Raises:
            GalgenError: if a stamp sums to zero or is not finite, or has no pixel scale.
            ValueError: if the seed or the start is out of range.
        """
        values = self.conditions.draw(seed, start, n)
        images = self.run.make(n, values, self.prior, seed, start)[:, self.band].astype(float)
        redshift = values.get("redshift")
        if self.edge == "subtract":
            images = without_edge(images)
        for number, image in enumerate(images, start):
            flux = image.sum()
            if flux == 0 or not np.isfinite(flux):
                raise GalgenError(
                    f"galaxy {number} of seed {seed} has no light: its pixels sum to {flux:g}. "
                    "Leave this number out."
                )
            # GalSim's default interpolants and accuracy: other interpolants and a finer one change
            # the image under a PSF of 0.7" by less than 1e-5 of its peak.
            scale = light_scale(self.run)
            galaxy = galsim.InterpolatedImage(galsim.Image(image, scale=scale))
            galaxy.smallest_scale = 2 * scale
            if redshift is not None:
                galaxy.redshift = float(redshift[number - start])
            yield galaxy


def band_number(run: TrainedRun, band: str | None) -> int:
    """Return the number of a run's band; that of its only one where None.

    Raises:
        GalgenError: if the run has no such band, or several and none is given.
    """
    known = ", ".join(run.bands)
    if band is None and len(run.bands) > 1:
        raise GalgenError(f"band: {run.name} has several. Give one of {known}.")
    if band is not None and band not in run.bands:
        raise GalgenError(f"band={band}: {run.name} has no such band. It has {known}.")
    return 0 if band is None else run.bands.index(band)


def light_scale(run: TrainedRun) -> float:
    """Return the side of the pixels of a run's light, arcsec.

    Raises:
        GalgenError: if it is not known.
    """
    if run.pixel_scale is None:
        raise GalgenError(
            f"{run.directory}: the pixel scale of its survey is not known, and GalSim needs it; "
            'add "pixel_scale" (arcsec) to the "attributes" in its data.json.'
        )
    return run.light_scale


def build_galaxy(
    config: dict, base: dict, ignore: list[str], gsparams: dict, logger
) -> tuple[galsim.InterpolatedImage, bool]:
    """Build what `type: GalgenGalaxy` describes.

    Args:
        config: of the galaxy. `run` is a run directory; `redshift` (or that of `sed`) is needed by
            conditional models; `magnitude` (AB) and `size` (arcsec) are known to some
            priors; `index`, the number of the galaxy, counts objects where it is not given; `seed`
            is 0, `prior` the run's default and `edge` keep where they are not; a run of several
            bands needs `band`.
        base: the whole configuration.
        ignore: keys that GalSim itself sees to.
        gsparams: arguments of `galsim.GSParams`.
        logger: GalSim's.

    Returns:
        Galaxy `index`, as in `objects`, and whether it is the same for all objects.

    Raises:
        galsim.GalSimConfigError: if a key is unknown, the run cannot be used, a number is out of
            range, or the run has no fluxes and none is given.
    """
    SetDefaultIndex(config, NUMBERS)
    keys = {"run": str, "index": int}
    optional = {"seed": int, "prior": str, "edge": str, "band": str}
    optional |= {"magnitude": float, "size": float}
    others = [*ignore, "flux", "redshift"]
    values, safe = GetAllParams(config, base, req=keys, opt=optional, ignore=others)
    try:
        with one_thread():
            run = loaded(Path(values["run"]).absolute())
            if run.unit == PEAK and not any(key in config for key in FLUX_KEYS):
                raise GalgenError(
                    f"{run.name} makes galaxies of peak 1, which have no flux of their own. "
                    f"Give one of {', '.join(FLUX_KEYS)}."
                )
            redshift, safe_redshift = _redshift(run, config, base)
            requested = {name: values[name] for name in STREAMS if name in values}
            made = Making(
                run,
                {**requested, "redshift": redshift},
                values.get("prior"),
                values.get("edge", "keep"),
                values.get("band"),
            )
            galaxy = next(made.galaxies(1, values.get("seed", 0), values["index"]))
    except (GalgenError, ValueError) as error:
        raise galsim.GalSimConfigError(f"GalgenGalaxy: {error}") from error
    if gsparams:
        galaxy = galaxy.withGSParams(**gsparams)
    return galaxy, safe and safe_redshift


@functools.cache
def loaded(directory: Path) -> TrainedRun:
    """Return a run, loaded once a process; on the CPU, which forked processes can share."""
    return TrainedRun(directory, device="cpu")


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute in one thread.

    Its others do not survive the fork that GalSim works with, and torch would wait for them for
    ever; nor do two threads make a single galaxy sooner than one.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _redshift(run: TrainedRun, config: dict, base: dict) -> tuple[float | None, bool]:
    """Return the redshift, and whether it is the same for all objects."""
    if "redshift" not in config and run.model.conditional:
        if not isinstance(config.get("sed"), dict) or "redshift" not in config["sed"]:
            raise GalgenError(f"{run.name} is a {run.model.name}, which needs the key redshift.")
        config = config["sed"]  # GalSim moves it there from the galaxy
    return ParseValue(config, "redshift", base, float) if "redshift" in config else (None, True)


RegisterObjectType("GalgenGalaxy", build_galaxy)
