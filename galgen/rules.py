"""Rules across the groups of a training's config, which no single class can check."""

from omegaconf import DictConfig

from galgen.errors import GalgenError


def check_rules(config: DictConfig) -> None:
    """Check what no single group can check by itself.

    Raises:
        GalgenError: if two parts of the config contradict each other.
    """
    for group in ("model", "data", "trainer"):
        if "_target_" not in config[group]:
            raise GalgenError(f"{group}: what was chosen is no {group}; see --help for the options")
    if config.trainer.limit_val_batches == 0 or config.trainer.get("fast_dev_run"):
        raise GalgenError(
            "a run needs validation and its checkpoints: instead of trainer.limit_val_batches=0 or "
            "trainer.fast_dev_run, choose trainer=debug"
        )
    epochs = config.trainer.max_epochs
    if not isinstance(epochs, int) or epochs < 1:
        raise GalgenError(f"trainer.max_epochs is {epochs}, it must be a positive whole number")
    if config.resume not in ("auto", "never"):
        raise GalgenError(f"resume is {config.resume!r}, it can be 'auto' or 'never'")
    values = config.beta_schedule.get("values")
    if values is not None and (len(values) != epochs or config.trainer.max_steps != -1):
        raise GalgenError(
            f"beta_schedule.values has {len(values)} values, it takes one for each of the "
            f"{epochs} epochs of trainer.max_epochs (and no trainer.max_steps)"
        )
    if config.model.image_size != config.data.image_size:
        raise GalgenError(
            f"{config.model.name} is made for {config.model.image_size} px and data.image_size is "
            f"{config.data.image_size}; give data.image_size={config.model.image_size} (stamps are "
            "cropped around their centre), or choose model=vae"
        )


def check_fit(model, datamodule) -> None:
    """Check that the model can be trained and can make what the survey holds.

    Raises:
        ValueError: if an argument of the optimizer is out of range.
        GalgenError: if redshifts are missing, or pixels lie outside the model's output.
    """
    model.configure_optimizers()  # for the errors of its arguments
    if model.conditional:
        datamodule.require_redshifts()
    low, high = datamodule.value_range
    output = type(model.output).__name__.lower()
    if output == "sigmoid" and (low < 0 or high > 1):
        transform = type(datamodule.transform).__name__.lower()
        raise GalgenError(
            "model.output=sigmoid makes pixels between 0 and 1, and the survey's are not after "
            f"the transform '{transform}'; give model.output=softplus or none, or transform=peak"
        )
