"""The image size and the bands of a training whose config leaves them to the stamp file."""

from pathlib import Path

from omegaconf import DictConfig

from galgen.data.bands import band_names
from galgen.errors import GalgenError
from galgen.files import cache_folder, expand


def fill_in_stamps(config: DictConfig) -> None:
    """Set `data.image_size` and `data.bands` to those of the stamp file, where they are null.

    The name of a set of bands becomes theirs.

    Args:
        config: a command's, with a survey.

    Raises:
        ValueError: if `data.bands` are no names, or one stands twice.
        GalgenError: if the stamp file is bad, or missing where the config leaves the size to it.
    """
    data = config.data
    data.bands = band_names(data.get("bands"))
    if data.image_size is not None and data.bands is not None:
        return
    path = stamp_file_of(data)
    if data.image_size is None and not path.exists():
        raise GalgenError(
            f"data.file={path}: there is no such stamp file, and data.image_size=null takes the "
            f"size of its stamps. {data.hint}."
        )
    if data.image_size is None or path.is_file():
        from galgen.data.stamp_file import StampFile  # h5py, for those who read

        stamps = StampFile(path, data.bands)
        data.image_size = data.image_size or stamps.size
        data.bands = stamps.bands


def stamp_file_of(data: DictConfig) -> Path:
    """Return where a survey's stamp file is, or will be: `data.file`, or the cache folder."""
    return expand(data.file) if data.file else cache_folder() / f"{data.name}.h5"
