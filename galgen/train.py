"""`python -m galgen.train`: train a model on a survey, into a run directory."""

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from galgen import runs
from galgen.config import check_arguments, check_targets, command
from galgen.preemption import preemptible
from galgen.rules import check_rules
from galgen.sweep_table import watched
from galgen.sweeps import do_job

# torch and Lightning are imported where they are needed: composing, --help and the second call of
# a finished run take less than a second without them.


@command("train", watched=watched)
def main(config: DictConfig) -> float | None:
    """Train, or go on training, or say what a finished training arrived at."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        return do_job(config)
    check_rules(config)
    run = runs.Run(config)
    if not config.overwrite:
        run.check_config()
    if run.result is None or config.overwrite:
        train_checked(config, run)
    else:
        print(f"{run.directory} is already finished:")
    report(run)
    return None


def train_checked(config: DictConfig, run: runs.Run) -> None:
    """Train, once the classes that the config names are known to be allowed.

    Raises:
        GalgenError: if they are not, or the training fails.
    """
    check_targets(config)
    check_arguments(config)
    with preemptible():
        from galgen.training import train

        train(config, run)


def report(run: runs.Run) -> None:
    """Say what the training arrived at and where it lies."""
    from galgen.verdict import cautions, is_poor, summary

    if run.result and "best" in run.result:
        best = run.result["best"]
        print(
            f"{run.directory}: {run.result['last']['epoch']:.0f} epochs, best val/loss "
            f"{best['val/loss']:.4g} (reconstruction {best['val/reconstruction']:.4g}, KL "
            f"{best['val/kl']:.4g} nats) at epoch {best['epoch']:.0f}"
        )
        print(f"pictures: {run.directory / 'figures'} and {run.directory / 'samples'}")
        verdict = run.result.get("verdict")
        if verdict and not is_poor(verdict):  # of a poor one, a caution says it
            print(f"verdict: {summary(verdict)}")
        for caution in cautions(verdict):
            print(f"caution: {caution}")


if __name__ == "__main__":
    main()
