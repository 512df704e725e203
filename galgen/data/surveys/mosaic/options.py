"""The options of a mosaic that may have a value for each band, and for each tile."""

from galgen.config.wording import said
from galgen.errors import GalgenError


def image_files(image, images) -> dict[str, list[str]]:
    """Read which images there are.

    Args:
        image: a FITS file, or a list of tiles.
        images: the same by band; one of the two is None.

    Returns:
        The file of each tile, by band; the band of `image` has an empty name.

    Raises:
        GalgenError: if both are given or neither, if a band has no file, or the bands do not have
            as many tiles.
    """
    if image is None and images is None:
        raise GalgenError(
            "mosaic.image=null: there is no image. Give mosaic.image=<FITS file>, or one for each "
            "band, mosaic.images={<band>: <FITS file>, ...}."
        )
    if image is not None and images is not None:
        raise GalgenError(f"mosaic.image={image}: mosaic.images is given too. Give one of them.")
    if isinstance(image, dict):
        raise GalgenError(
            f"mosaic.image={said(image)}: these are several bands. Give them as mosaic.images."
        )
    if images is not None and not (isinstance(images, dict) and images):
        raise GalgenError(
            f"mosaic.images={said(images)}: it is not one file for each band. Give "
            "mosaic.images={<band>: <FITS file>, ...}, or one band as mosaic.image."
        )
    files = {"": image} if images is None else {str(band): images[band] for band in images}
    files = {band: value if isinstance(value, list) else [value] for band, value in files.items()}
    for band, tiles in files.items():
        if not tiles or any(tile is None or isinstance(tile, list | dict) for tile in tiles):
            key = f"images.{band}" if band else "image"
            raise GalgenError(
                f"mosaic.{key}={said(tiles)}: it is not a FITS file, nor a list of tiles. Give one "
                "of these."
            )
    counts = {band: len(tiles) for band, tiles in files.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{count} of {band}" for band, count in counts.items())
        raise GalgenError(
            f"mosaic.images={said(images)}: the bands do not have as many tiles ({listed}). Give "
            "every tile in each band, in the same order."
        )
    return files


def by_band(key: str, value, files: dict[str, list[str]], common: bool) -> dict[str, list]:
    """Read an option that may have a value for each band, and for each tile.

    Args:
        key: its name, without `mosaic.`.
        value: one value, a list with one for each tile, or a dictionary of these by band.
        files: the images, by band and tile.
        common: whether one value may be that of several bands and tiles.

    Returns:
        The value of each tile, by band.

    Raises:
        GalgenError: if a band or a tile has no value, or there are values of others.
    """
    bands, tiles = list(files), len(next(iter(files.values())))
    if isinstance(value, dict):
        value = {str(band): each for band, each in value.items()}
        if bands == [""]:
            raise GalgenError(
                f"mosaic.{key}={said(value)}: mosaic.image is of one band. Give one value here, or "
                "the images by band too, as mosaic.images."
            )
        for band in value:
            if band not in files:
                raise GalgenError(
                    f"mosaic.{key}={said(value)}: mosaic.images has no band {band}. Give one value "
                    f"for each of {', '.join(bands)}."
                )
        lacking = [band for band in bands if band not in value]
        if lacking:
            raise GalgenError(
                f"mosaic.{key}={said(value)}: it lacks {', '.join(lacking)}. Give every band of "
                "mosaic.images, null where there is none."
            )
    elif value is not None and len(bands) > 1 and not common:
        raise GalgenError(
            f"mosaic.{key}={said(value)}: mosaic.images has {len(bands)} bands. Give one for each, "
            f"mosaic.{key}={{{bands[0]}: <FITS file>, ...}}."
        )
    else:
        value = dict.fromkeys(bands, value)
    return {
        band: _by_tile(f"{key}.{band}" if band else key, value[band], tiles, common)
        for band in bands
    }


def _by_tile(key: str, value, tiles: int, common: bool) -> list:
    if isinstance(value, list):
        if len(value) != tiles:
            raise GalgenError(
                f"mosaic.{key}={said(value)}: there are {tiles} tiles. Give one for each, in the "
                "order of the images."
            )
        return value
    if value is not None and tiles > 1 and not common:
        raise GalgenError(
            f"mosaic.{key}={value}: there are {tiles} tiles. Give a list with one for each."
        )
    return [value] * tiles
