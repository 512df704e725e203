"""The model of a run with its weights, and its decoder."""

from pathlib import Path

import torch
from omegaconf import DictConfig

from galgen.config.explanations import explain
from galgen.config.targets import instantiate
from galgen.errors import GalgenError
from galgen.models.blocks import decode_block, in_blocks
from galgen.models.checkpoints import load_weights, read_and_hash

OF_MODELS = ("galgen.models", "torch.nn", "torch.optim")
"""Where the classes come from that make up a model."""


def load_model(config: DictConfig, path: Path):
    """Build a model and load its weights.

    Args:
        config: the model's node of a run's config.
        path: the checkpoint.

    Returns:
        The model, in eval mode, without gradients; the checkpoint's hash; and how many epochs it
        has been trained.

    Raises:
        GalgenError: if there is no such checkpoint, or it is damaged.
    """
    if not path.is_file():
        raise GalgenError(
            f"{path.parent.parent} has no {path.stem} checkpoint yet: {path} is missing."
        )
    try:
        model = instantiate(config, OF_MODELS)
    except GalgenError:
        raise
    except Exception as error:  # whatever a class makes of arguments that somebody changed
        raise GalgenError(f"{path.parent.parent}/config.yaml: {explain(error)}") from error
    state, sha256 = read_and_hash(path)
    load_weights(model, state["state_dict"], path)
    if not all(weights.isfinite().all() for weights in model.parameters()):
        raise GalgenError(f"{path}: its weights are not finite. Train the model again.")
    return model.eval().requires_grad_(False), sha256, state.get("epoch", -1) + 1


def decode(
    model, latent: torch.Tensor, redshift: torch.Tensor | None, start: int = 0
) -> torch.Tensor:
    """Decode latents in blocks that are aligned to the galaxy number.

    Args:
        model: in eval mode.
        latent: (n, latent_dim).
        redshift: (n,); None for a model without.
        start: number of the first galaxy.

    Returns:
        Light (n, B, s H, s W), on the model's scale, where s is the model's oversampling.
    """
    columns = (latent,) if redshift is None else (latent, redshift)
    with torch.no_grad():
        return in_blocks(model.decode, decode_block(model.device), start, *columns)
