"""Files of a run's fitted priors, and of its conditions."""

from pathlib import Path

from omegaconf import OmegaConf
from torch import nn

from galgen.config.run_paths import weights_file
from galgen.config.targets import instantiate
from galgen.errors import GalgenError
from galgen.models.checkpoints import load_weights, read_checkpoint, write_checkpoint

OF_PRIORS = ("galgen.priors",)
"""Where the classes come from that such a file may name."""
FOLDER = "priors"
"""Of the priors' files in a run directory."""
CONDITIONS = "conditions"
"""Name of the file with the distribution of the survey's conditions."""
POSTERIOR = "condition_posterior"
"""Name of the file with what latents and fluxes say about conditions."""
OF_RUN = (CONDITIONS, POSTERIOR)
"""Names of the files that lie in the run directory itself."""


def path_of(directory: Path, name: str) -> Path:
    """Return where a run keeps a prior, `CONDITIONS` or `POSTERIOR`."""
    return weights_file(_folder_of(directory, name), name)


def _folder_of(directory: Path, name: str) -> Path:
    return Path(directory) if name in OF_RUN else Path(directory) / FOLDER


def names_of(directory: Path) -> list[str]:
    """Name the priors that were fitted to a run, in alphabetical order."""
    files = (Path(directory) / FOLDER).glob("*.*")
    return sorted({path.stem for path in files if path.suffix in (".ckpt", ".safetensors")})


def save(directory: Path, name: str, module: nn.Module, node: dict, about: dict) -> Path:
    """Write a fitted prior or the conditions of a run, whole or not at all.

    Args:
        directory: the run directory.
        name: of the prior, or `CONDITIONS`.
        module: the fitted module.
        node: `_target_` and arguments that make the module.
        about: plain values: `weights_sha256` of the encoder, and what else a reader may want.

    Returns:
        The file.
    """
    state = {name: tensor.cpu() for name, tensor in module.state_dict().items()}
    path = _folder_of(directory, name) / f"{name}.ckpt"
    path.parent.mkdir(exist_ok=True)
    write_checkpoint({"name": name, "state_dict": state, "node": node, **about}, path)
    path.with_suffix(".safetensors").unlink(missing_ok=True)  # of a released model's copy
    return path


def read(directory: Path, name: str) -> tuple[nn.Module, dict]:
    """Read a fitted prior or the conditions of a run.

    Args:
        directory: the run directory.
        name: of the prior, or `CONDITIONS`.

    Returns:
        The module, in eval mode, and the file's description of it.

    Raises:
        GalgenError: if there is none, it is damaged, or its class is not allowed.
    """
    path = path_of(directory, name)
    if not path.is_file():
        raise GalgenError(
            f"prior={name}: it is not fitted to {directory}. Fit it: python -m galgen.fit_prior "
            f"run={directory} prior={name}"
            if name != CONDITIONS
            else f"{directory} has no distribution of its survey's conditions. Learn it: "
            f"python -m galgen.fit_prior run={directory}"
        )
    about = read_checkpoint(path)
    try:
        state, node = about.pop("state_dict"), OmegaConf.create(about["node"])
        about["weights_sha256"]
        module = instantiate(node, OF_PRIORS)
    except GalgenError as error:
        raise GalgenError(f"{path}: {error}") from error
    except Exception as error:  # whatever a module makes of arguments that somebody changed
        raise GalgenError(f"{path} is damaged: {error!r}") from error
    if about.get("name") != name:
        raise GalgenError(
            f"{path}: this is prior={about.get('name')}. Give the file its name back."
        )
    load_weights(module, state, path)
    if not all(values.isfinite().all() for values in module.state_dict().values()):
        raise GalgenError(f"{path}: its weights are not finite. Fit it again.")
    return module.eval().requires_grad_(False), about
