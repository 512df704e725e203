"""`python -m galgen.fit_prior`: fit priors to the latents of a finished run."""

from pathlib import Path

from omegaconf import DictConfig

from galgen.config.command import command
from galgen.config.releases import is_read_only
from galgen.config.rules import check_whole_numbers
from galgen.config.targets import check_arguments, check_targets
from galgen.errors import GalgenError


@command("fit_prior", words="run", resumes=False)
def main(config: DictConfig) -> None:
    """Fit the priors that `prior` names, and print how well each describes held-out galaxies."""
    check_whole_numbers(config, {"seed": 0})
    if "normal" in config.prior:
        raise GalgenError("prior=normal: N(0, 1) needs no fit. Name others: prior=[flow,gmm].")
    if is_read_only(Path(config.run)):
        raise GalgenError(
            f"run={config.run}: a released model is kept as it is. Copy this folder to "
            "runs/<name>, and give run=runs/<name>."
        )
    check_targets(config)
    check_arguments(config)
    from galgen.runs.trained_run import TrainedRun
    from galgen.training.fit_priors import fit_priors  # torch, after the config has been checked

    run = TrainedRun(config.run, config.device, config.data.file)
    fit_priors(run, config.prior, config.seed)


if __name__ == "__main__":
    main()
