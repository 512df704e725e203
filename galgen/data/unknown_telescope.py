"""A recipe for a survey that does not say all of its telescope."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from galgen.config.paths import CONF
from galgen.data.from_stamp_file import stamp_file_of

PSF_FREE = "model.psf_free"
INSTEAD = {
    "galgen.models.correlated_noise.CorrelatedNoise": (
        "does not say how its noise is correlated",
        "noise_aware",
        "takes it for white",
    ),
    "galgen.models.likelihoods.NoiseAware": (
        "has no noise variances",
        "learned_sigma",
        "learns one level of noise",
    ),
}
"""By the class of a likelihood: what a survey lacks for it, and which likelihood does without."""


def do_without_unknown(config: DictConfig) -> None:
    """Leave out of a model what its survey's stamp file does not know, and say so.

    What the user has chosen on the command line stays, so that the training refuses it.

    Args:
        config: of a training, which is changed.

    Raises:
        GalgenError: if the stamp file is bad.
    """
    data, psf_free = config.data, config.model.get("psf_free")
    path = stamp_file_of(data)
    if not path.is_file() or not (psf_free or config.likelihood.get("_target_") in INSTEAD):
        return
    from galgen.data.stamp_file import StampFile  # h5py, for those who read

    stamps = StampFile(path, data.bands)
    chosen = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    keys = {word.partition("=")[0] for word in chosen}
    if psf_free and "psf" not in stamps.stacks and PSF_FREE not in keys:
        config.model.psf_free = False
        print(
            f"{path} has no PSFs: {config.model.name} makes galaxies as the survey saw them "
            f"({PSF_FREE}=false)"
        )
    known = (stamps.noise_correlation is not None, "noise_variance" in stamps.columns)
    for (target, (lacks, option, does)), is_known in zip(INSTEAD.items(), known, strict=True):
        if config.likelihood.get("_target_") != target or is_known or "likelihood" in keys:
            continue
        config.likelihood = OmegaConf.load(CONF / "likelihood" / f"{option}.yaml")
        print(f"{path} {lacks}: the training {does} (likelihood={option})")
