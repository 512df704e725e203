"""What fit_prior learned of a run: priors of its latents, and the survey's conditions."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import nn

from galgen.config import rules
from galgen.errors import GalgenError
from galgen.models.checkpoints import AtomicCheckpointIO, load_weights, read_checkpoint

PRIORS = rules.PRIORS[1:]
"""Priors that can be fitted; each has a file of its name in the run."""
CONDITIONS = "conditions"
"""Name of the survey's conditions among those files."""


def build(kind: str, arguments: dict) -> nn.Module:
    """Make the module that a file of a kind holds, untrained.

    Args:
        kind: one of `PRIORS`, or `CONDITIONS`.
        arguments: of the module.

    Raises:
        ValueError: if an argument is out of range.
    """
    if kind == "flow":
        from galgen.priors.flow import LatentFlow as Module  # zuko, for those who need it
    elif kind == "gmm":
        from galgen.priors.mixture import GaussianMixture as Module
    elif kind == "two_stage":
        from galgen.priors.two_stage import TwoStage as Module
    else:
        from galgen.priors.conditions import SurveyConditions as Module
    return Module(**arguments)


def path_of(directory: Path, kind: str) -> Path:
    """Return where a run keeps what was fitted to it."""
    return Path(directory) / f"{kind}.ckpt"


def save(directory: Path, kind: str, module: nn.Module, about: dict) -> Path:
    """Write what was fitted to a run, whole or not at all.

    Args:
        directory: the run directory.
        kind: one of `PRIORS`, or `CONDITIONS`.
        module: what was fitted.
        about: plain values: `arguments` of the module, `condition_names`, `weights_sha256` of the
            encoder, and what else a reader may want to know.

    Returns:
        The file.
    """
    state = {name: tensor.cpu() for name, tensor in module.state_dict().items()}
    path = path_of(directory, kind)
    AtomicCheckpointIO().save_checkpoint({"state_dict": state, **about}, str(path))
    return path


def read(directory: Path, kind: str) -> tuple[nn.Module, dict]:
    """Read what was fitted to a run; returns the module, in eval mode, and what is known of it.

    Raises:
        GalgenError: if there is none, or it is damaged.
    """
    path = path_of(directory, kind)
    if not path.is_file():
        raise GalgenError(
            f"{directory} has no {kind} yet; make it: python -m galgen.fit_prior run={directory}"
        )
    about = read_checkpoint(path)
    state = about.pop("state_dict")
    try:
        module = build(kind, about["arguments"])
        module.condition_names = [str(name) for name in about["condition_names"]]
        about["weights_sha256"]
    except Exception as error:  # whatever a module makes of arguments that somebody changed
        raise GalgenError(f"{path} is damaged: {error!r}") from error
    load_weights(module, state, path)
    if not all(values.isfinite().all() for values in module.state_dict().values()):
        raise GalgenError(f"{path}: its weights are not finite; run fit_prior again")
    return module.eval().requires_grad_(False), about


def costs(directory: Path, weights_sha256: str) -> dict[str, tuple[float, float]]:
    """Read what the priors that were fitted to some weights cost.

    Args:
        directory: the run directory.
        weights_sha256: of the model's checkpoint.

    Returns:
        Nats of a held-out latent under the prior and under N(0, 1), by name, the cheapest first.

    Raises:
        GalgenError: if a file is damaged.
    """
    found = {}
    for kind in PRIORS:
        path = path_of(directory, kind)
        about = read_checkpoint(path) if path.is_file() else {}
        if about.get("weights_sha256") == weights_sha256:
            try:
                found[kind] = float(about["val_nll"]), float(about["val_nll_normal"])
            except (KeyError, TypeError, ValueError) as error:
                raise GalgenError(f"{path} is damaged: {error!r}") from error
    return dict(sorted(found.items(), key=lambda item: item[1][0]))


class FittedPriors(Mapping):
    """The priors in a run directory by name, read when they are first asked for.

    Args:
        directory: the run directory.
        model: the run's model, whose device they go to.
    """

    def __init__(self, directory: Path, model: nn.Module):
        self.directory, self.model, self.read = Path(directory), model, {}

    def __getitem__(self, name: str) -> nn.Module:
        """Return a prior, on the model's device.

        Raises:
            GalgenError: if there is none, it is damaged, or was fitted to other weights.
        """
        if name not in PRIORS:
            raise KeyError(name)
        if name not in self.read:
            module, about = read(self.directory, name)
            if about["weights_sha256"] != self.model.weights_sha256:
                raise GalgenError(
                    f"{path_of(self.directory, name)} was fitted to other weights than the "
                    f"model's; fit it again: python -m galgen.fit_prior run={self.directory}"
                )
            module.condition_ranges = about.get("ranges", {})
            self.read[name] = module
        return self.read[name].to(self.model.device)

    def __contains__(self, name: object) -> bool:
        return name in PRIORS and path_of(self.directory, name).is_file()

    def __iter__(self) -> Iterator[str]:
        return (name for name in PRIORS if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)
