"""galgen: generative models of galaxy images."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("galgen")
except PackageNotFoundError:  # a checkout that is not installed, as a benchmark may run in
    __version__ = "unknown"


def load(run, checkpoint=None, device="cpu", trusted_packages=()):
    """Load a trained run, or a released model.

    Args:
        run: run directory, as `python -m galgen.train` printed it; the name of a model that comes
            with galgen, such as `"hst-f814w-simulated"`; or the URL of a released model, at whose
            end `#sha256=...` may say the SHA-256 of its release.json.
        checkpoint: `"best"` (lowest validation loss) or `"last"`; where None, the best of a
            finished run, and the last of one that is not, with a warning.
        device: where the model computes, such as `"cuda"`.
        trusted_packages: names of your own packages whose classes the run may name.

    Returns:
        `galgen.runs.trained_run.TrainedRun`: its `sample`, `reconstruct`, `encode` and `decode`
        take and return images in the survey's unit; its `model` is the PyTorch module.

    Raises:
        GalgenError: if the directory is not a run, has no checkpoint yet, names a class that
            galgen does not ship, or was changed after its release; if a URL does not give a model.
    """
    from galgen.config.targets import trust
    from galgen.runs.trained_run import TrainedRun  # torch is imported by those who need it

    trust(trusted_packages)
    return TrainedRun(run, device, checkpoint=checkpoint)


def galsim_objects(run, n, redshift=None, seed=0, start=0, prior=None, edge="keep", **conditions):
    """Generate galaxies as GalSim objects, one after the other.

    Args:
        run: run directory, or what `load` returned.
        n: number of galaxies.
        redshift: as in `python -m galgen.generate`: a number, `"0.1:2"`, a list, or `"survey"`;
            conditional models need it.
        seed: whole number from 0; galaxy i depends on (seed, i) and its conditions alone.
        start: number of the first galaxy.
        prior: what latents are drawn from: `"normal"`, or one that was fitted, such as `"flow"`;
            the best of them where None.
        edge: `"keep"`, or `"subtract"` the level on which each galaxy stands.
        **conditions: `magnitude` (AB) and `size` (arcsec), in the forms of `redshift`; of
            priors that know them.

    Returns:
        Iterator of `galsim.InterpolatedImage`; the flux is the sum of the stamp in the run's unit,
        counts/s or the galaxy's peak, and `redshift` the galaxy's, if one was requested.
        `smallest_scale` is the wavelength (arcsec) of the finest structure that its pixels hold,
        two pixels; light in front of the telescope has been learned through the survey's PSF, so
        what is finer than that PSF is a guess.

    Raises:
        GalgenError: if the directory is not a run, its pixel scale is not known, a condition is not
            what model or prior takes, the prior has not been fitted, or, later, if a galaxy has no
            light.
        ValueError: if the seed, the start or the number is out of range.
    """
    from galgen.catalogues.galsim_galaxies import objects  # GalSim is imported by those who need it

    return objects(run, n, redshift, seed, start, prior, edge, **conditions)
