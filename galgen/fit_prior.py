"""`python -m galgen.fit_prior`: priors of a run's latents, and of its survey's conditions."""

import time

from omegaconf import DictConfig, ListConfig

from galgen.config.command import command
from galgen.config.rules import PRIORS, check_whole_numbers
from galgen.config.targets import check_arguments, check_targets
from galgen.errors import GalgenError

KINDS = (*PRIORS[1:], "conditions")


@command("fit_prior", words="run", resumes=False)
def main(config: DictConfig) -> None:
    """Fit what `fit` names, and say how well each describes held-out galaxies."""
    check(config)
    check_targets(config)
    check_arguments(config)
    from galgen.runs.trained_run import TrainedRun
    from galgen.training.fit_priors import Fit  # torch, after the config has been checked

    fit = Fit(TrainedRun(config.run, config.device, config.data.file), config)
    print(f"{fit.run.name}: {fit.latents()}")
    for kind in config.fit:
        started = time.perf_counter()
        found = fit.prior(kind) if kind != "conditions" else fit.conditions()
        print(f"{found} ({time.perf_counter() - started:.0f} s)")


def check(config: DictConfig) -> None:
    """Check what needs no run.

    Raises:
        GalgenError: if a value is out of range.
    """
    if not isinstance(config.fit, ListConfig) or not config.fit or set(config.fit) - set(KINDS):
        raise GalgenError(f"fit is {config.fit}, it takes a list of {', '.join(KINDS)}")
    check_whole_numbers(config, {"seed": 0, "batch_size": 2, "max_epochs": 1, "patience": 1})


if __name__ == "__main__":
    main()
