"""Lightning's checkpoint files, as galgen writes and reads them."""

from pathlib import Path

from pytorch_lightning.plugins.io import TorchCheckpointIO

from galgen.models.checkpoints import read_checkpoint, write_checkpoint


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints that appear when they are complete, and are read with weights_only."""

    def save_checkpoint(self, checkpoint: dict, path: str, storage_options=None) -> None:
        """Write a checkpoint, whole or not at all."""
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(self, path: str, map_location=None, weights_only=None) -> dict:
        """Read a checkpoint; nothing but tensors and plain values."""
        return read_checkpoint(Path(path), map_location)
