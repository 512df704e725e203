"""The image size of a training whose config leaves it to the stamp file."""

from omegaconf import DictConfig


def fill_in_image_size(config: DictConfig) -> None:
    """Set `data.image_size` to the size of the file's stamps, where it is null.

    Args:
        config: a command's, with a survey.

    Raises:
        GalgenError: if the stamp file is missing or bad.
    """
    if config.data.image_size is None and config.data.file:
        from galgen.data.stamp_file import StampFile  # h5py, for those who read

        config.data.image_size = StampFile(config.data.file).size
