"""Runs that are continued for more epochs than they were started with."""

from pathlib import Path

from galgen.errors import GalgenError

OF_THE_LENGTH = ("trainer.max_epochs", "lr_schedule.T_max", "beta_schedule.values")
"""Last parts of keys that may differ in a run that is continued for more epochs."""
ANY_LENGTH = (".Constant", ".ReduceLROnPlateau", ".StepLR", ".MultiStepLR", ".ExponentialLR")
"""Schedules that are the same in the first epochs, however many there will be."""


def is_longer(stored: dict, new: dict, different: list[str]) -> bool:
    """Say whether a config is a stored one with more epochs.

    Args:
        stored: values of the run's config, by full key.
        new: those of the command's.
        different: the keys in which they differ.
    """
    before, epochs = (values.get("trainer.max_epochs") for values in (stored, new))
    if not (type(before) is int and type(epochs) is int and before < epochs):
        return False
    return all(key.endswith(OF_THE_LENGTH) for key in different)


def check_longer(directory: Path, stored: dict, new: dict) -> None:
    """Check that the epochs of a run are the beginning of a training of more.

    Args:
        directory: the run's.
        stored: values of the run's config, by full key.
        new: those of the command's.

    Raises:
        GalgenError: if a schedule would have gone another way in them.
    """
    for group in ("beta_schedule", "lr_schedule"):
        target = new.get(f"{group}._target_")
        if target is not None and not target.endswith(ANY_LENGTH):
            raise GalgenError(
                f"trainer.max_epochs={new['trainer.max_epochs']}: {directory} was started for "
                f"{stored['trainer.max_epochs']} epochs, and its {group} depends on their number, "
                "so they are not the beginning of a longer training. Give another run_name, and "
                f"init_from={directory} to start from its weights."
            )
