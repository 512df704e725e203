"""`python -m galgen.train`: train a model on a survey, into a run directory."""

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from galgen.config.command import command
from galgen.config.rules import check_rules
from galgen.data.from_stamp_file import fill_in_stamps
from galgen.data.unknown_telescope import do_without_unknown
from galgen.runs.directory import Run
from galgen.sweeps.jobs import do_job
from galgen.sweeps.table import watched
from galgen.training.one_training import fit_missing_priors, report, train_checked

# torch and Lightning are imported where they are needed: composing, --help and the second call of
# a finished run take less than a second without them.


@command("train", watched=watched)
def main(config: DictConfig) -> float | None:
    """Train or resume a training; print the result of a finished one."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        return do_job(config)
    fill_in_stamps(config)
    do_without_unknown(config)
    check_rules(config)
    run = Run(config)
    if not config.overwrite:
        run.check_config()
    if run.result is None or config.overwrite:
        train_checked(config, run)
    else:
        print(f"{run.directory} is already finished:")
    fit_missing_priors(config, run)
    report(run)
    return None


if __name__ == "__main__":
    main()
