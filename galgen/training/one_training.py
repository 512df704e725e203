"""One training of a checked config, and what it arrived at; torch is imported when it begins."""

from omegaconf import DictConfig

from galgen.config.targets import check_arguments, check_targets
from galgen.runs.directory import Run
from galgen.training.preemption import preemptible


def train_checked(config: DictConfig, run: Run) -> None:
    """Train, once the classes that the config names are known to be allowed.

    Args:
        config: composed train config.
        run: its run directory.

    Raises:
        GalgenError: if a class is not allowed, or the training fails.
    """
    check_targets(config)
    check_arguments(config)
    with preemptible():
        from galgen.training.fit import train

        train(config, run)


def report(run: Run) -> None:
    """Say what a training arrived at and where the result lies.

    Args:
        run: the run directory.
    """
    from galgen.runs.verdict import cautions, is_poor, summary

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
