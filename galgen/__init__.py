"""galgen: generative models of galaxy images."""

from importlib.metadata import version

__version__ = version("galgen")


def load(run, checkpoint="best"):
    """Load the trained model of a run, in eval mode on the CPU.

    Args:
        run: run directory, as `python -m galgen.train` printed it.
        checkpoint: `"best"` (lowest validation loss) or `"last"`.

    Returns:
        The `galgen.models` LightningModule with its trained weights.

    Raises:
        GalgenError: if the directory is no run, has no checkpoint yet, or names a class
            that galgen does not ship.
    """
    from galgen.checkpoints import load_model  # torch is imported by those who need it

    return load_model(run, checkpoint)
