"""One training of a checked config, and its result; torch is imported when the training starts."""

from omegaconf import DictConfig, OmegaConf

from galgen.config.targets import check_arguments, check_targets
from galgen.runs.directory import Run
from galgen.runs.prior_records import fitted_priors
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


def missing_priors(config: DictConfig, run: Run) -> dict[str, DictConfig]:
    """Return the priors of a training that are not fitted yet, by name.

    Args:
        config: composed train config.
        run: its run directory.
    """
    done = fitted_priors(run.directory)
    nodes = {name: node for name, node in config.prior.items() if name != "normal"}
    return {
        name: node
        for name, node in nodes.items()
        if done.get(name) != {"node": OmegaConf.to_container(node), "seed": config.seed}
    }


def fit_missing_priors(config: DictConfig, run: Run) -> None:
    """Fit the priors of a finished training that are not fitted yet.

    Args:
        config: composed train config.
        run: its run directory.

    Raises:
        GalgenError: if a class is not allowed, or the latents do not suffice.
    """
    missing = missing_priors(config, run)
    if not missing:
        return
    check_targets(config.prior)
    check_arguments(config.prior)
    from galgen.runs.trained_run import TrainedRun
    from galgen.training.fit_priors import fit_priors

    fit_priors(TrainedRun(run.directory), missing, config.seed)


def report(run: Run) -> None:
    """Print the result of a training and its path.

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
        if verdict and not is_poor(verdict):  # a poor one has a caution instead
            print(f"verdict: {summary(verdict)}")
        for caution in cautions(verdict):
            print(f"caution: {caution}")
