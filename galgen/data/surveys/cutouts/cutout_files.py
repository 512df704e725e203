"""Cutouts in files of their own, one a galaxy: found by a folder or a pattern, and read."""

import glob
import gzip
import hashlib
import os
import re
from pathlib import Path

import numpy as np
from astropy.io import fits

from galgen.config.wording import counted, quoted
from galgen.data.surveys.cutouts.calibration import KEYWORDS
from galgen.data.surveys.fits_files import role_of
from galgen.errors import GalgenError, Unreadable
from galgen.files import reading

GALAXY = "{id}"
"""Stands in a pattern for the galaxy's name."""
FITS = (".fits", ".fit", ".fts", ".fz")
SUFFIXES = (*(f"{end}.gz" for end in FITS), *(f"{end}.fz" for end in FITS), *FITS, ".npy", ".npz")
"""Ends of the names of cutouts, the longest first."""
TOKENS = {GALAXY: "(?P<id>[^/]+?)", "**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
"""Signs of a pattern as regular expressions; the name of a galaxy is the shortest that fits."""
DAMAGED = "the file is damaged, or not what its name says"


class Unusable(Exception):
    """A cutout that cannot be used, with the reason, in words that are alike for all such ones."""


class Several(Unusable):
    """A file has several images, and the user names none.

    Args:
        what: the images are called, in the plural.
        names: of the images, or their numbers.
    """

    def __init__(self, what: str, names: list[str]):
        super().__init__(f"several {what} could be meant, {', '.join(names)}")
        self.first = names[0]


def gone(key: str, given: str | Path, path: str | Path) -> Unreadable:
    """Return the error of a file that was there when the preparation began.

    Args:
        key: under which the user gives it.
        given: the user's pattern or path.
        path: of the file.
    """
    return Unreadable(
        f"{key}={given}: there is no file {path} any more. Bring it back, and give the same "
        "command again."
    )


class CutoutFiles:
    """Files of cutouts, one a galaxy.

    Args:
        key: under which the user gives them, for messages.
        pattern: a folder; or a path with `{id}` where the galaxy's name stands, and with `*`, `?`,
            `[...]`, `**`. Without `{id}` the name is that of the file, less its extension.
        part: name or number of a FITS extension, or of an array of an `.npz` file.

    Attributes:
        places: the files by the galaxy's name.

    Raises:
        GalgenError: if no file matches, or several do for one galaxy.
    """

    def __init__(self, key: str, pattern: str, part: str | None = None):
        self.key, self.pattern, self.part = key, pattern, part
        found = _in_folder(Path(pattern)) if Path(pattern).is_dir() else _matching(key, pattern)
        if not found:
            raise GalgenError(f"{key}={pattern}: {_around(pattern)}")
        twice = {name: paths for name, paths in found.items() if len(paths) > 1}
        if twice:
            name, paths = next(iter(twice.items()))
            raise GalgenError(
                f"{key}={pattern}: {counted(len(twice), 'id has', 'ids have')} several files, "
                f"such as {name}: {paths[0]} and {paths[1]}. Write {GALAXY} "
                "where the galaxy's name stands, so that each file has its own."
            )
        self.places = {name: paths[0] for name, paths in found.items()}

    def inputs(self) -> list[Path]:
        """Return the files."""
        return [Path(path) for path in self.places.values()]

    def read(self, path: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """Read a cutout.

        Args:
            path: one of `places`.

        Returns:
            Its pixels, without axes of one element before the last two; and the cards of its
            header that say how it is calibrated.

        Raises:
            Unusable: if there are none.
            Unreadable: if the file has gone, or the system does not give it.
        """
        try:
            return read_file(Path(path), self.part)
        except FileNotFoundError as error:  # one of all: it is not this galaxy that is at fault
            raise gone(self.key, self.pattern, path) from error
        except Several as error:
            pattern = self.pattern
            if Path(pattern).is_dir():
                pattern = f"{pattern}/{GALAXY}{path[len(stem(path)) :]}"
            named = quoted(f"{pattern}[{error.first}]")
            raise Unusable(f"{error}. Name one, {self.key}={named}") from error

    def identity(self) -> str:
        """Return a hash of the names, sizes and times of the files; their content is not read."""
        digest = hashlib.sha256()
        for name, path in sorted(self.places.items()):
            found = os.stat(path)
            line = f"{name} {os.path.basename(path)} {found.st_size} {found.st_mtime_ns}\n"
            digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()


def stem(name: str) -> str:
    """Return the name of a file without its extension, `.fits.gz` as a whole."""
    end = next((end for end in SUFFIXES if name.lower().endswith(end)), "")
    return name[: len(name) - len(end)]


def read_file(path: Path, part: str | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read the one image of a FITS or NumPy file, as `CutoutFiles.read` does."""
    try:
        with reading(path):
            if path.suffix.lower() in (".npy", ".npz"):
                pixels, cards = _read_numpy(path, part), ()
            else:
                pixels, cards = _read_fits(path.read_bytes(), part)
    except (Unusable, GalgenError, FileNotFoundError):
        raise
    except Exception as error:  # damage shows in many ways
        raise Unusable(DAMAGED) from error
    if pixels is None or pixels.dtype.kind not in "fiub":
        raise Unusable("it does not hold numbers")
    while pixels.ndim > 2 and len(pixels) == 1:
        pixels = pixels[0]
    return pixels, cards


def _in_folder(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        hidden = entry.name.startswith(".")
        if not hidden and entry.name.lower().endswith(SUFFIXES) and entry.is_file():
            found.setdefault(stem(entry.name), []).append(entry.path)
    return found


def _matching(key: str, pattern: str) -> dict[str, list[str]]:
    """Find the files that match a pattern, by the galaxy's name."""
    if "{id}*" in pattern or "*{id}" in pattern:
        raise GalgenError(
            f"{key}={pattern}: it does not say where the galaxy's name ends. Write the signs that "
            f"stand between {GALAXY} and *, such as *_{GALAXY}.fits."
        )
    shape = _regular_expression(pattern)
    found: dict[str, list[str]] = {}
    for path in sorted(glob.glob(pattern.replace(GALAXY, "*"), recursive=True)):
        match = shape.fullmatch(path)
        if match and os.path.isfile(path):
            name = match["id"] if GALAXY in pattern else stem(os.path.basename(path))
            found.setdefault(name, []).append(path)
    return found


def _regular_expression(pattern: str) -> re.Pattern:
    parts, named = [], False
    for token in re.split(r"(\{id\}|\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern):
        if token == GALAXY and named:
            parts.append("(?P=id)")
        elif token in TOKENS:
            parts.append(TOKENS[token])
            named |= token == GALAXY
        elif token.startswith("["):
            parts.append(token.replace("[!", "[^", 1))
        else:
            parts.append(re.escape(token))
    return re.compile("".join(parts), re.DOTALL)


def _around(pattern: str) -> str:
    """Say what there is where a pattern looks, and what to give."""
    path = Path(pattern)
    while not path.is_dir() and path != path.parent:
        path = path.parent
    names = sorted(entry.name for entry in os.scandir(path) if not entry.name.startswith("."))
    listed = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    if not names:
        which = "the folder" if path == Path(pattern) else f"no file matches, the folder {path}"
        return f"{which} is empty. Give one that holds FITS or NumPy files."
    if path == Path(pattern):
        return (
            f"the folder holds no FITS or NumPy files, but {listed}. Give another folder, or a "
            f"pattern such as {path}/**/*.fits."
        )
    return f"no file matches. The folder {path} holds {listed}: give a pattern of some of them."


def _read_numpy(path: Path, part: str | None) -> np.ndarray:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            names = loaded.files
            if part is None and len(names) > 1:
                raise Several("arrays", names)
            name = part or names[0]
            if name not in names:
                raise Unusable(f"the file has no array {name}")
            return loaded[name]
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise Unusable("it holds Python objects, which galgen does not load") from error
        raise


def _read_fits(content: bytes, part: str | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read the image of a FITS file; as bytes, astropy reads it faster than as a file."""
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    hdus = fits.HDUList.fromstring(content)
    if part is None and hdus[0].shape:
        return hdus[0].data, _cards(content)
    hdu = _extension(hdus, part)
    headers = (hdu.header, hdus[0].header)  # HST and JWST have the filter there
    cards = [c.image for header in headers for c in header.cards if c.keyword in KEYWORDS]
    return hdu.data, tuple(cards)


def _extension(hdus: fits.HDUList, part: str | None) -> fits.ImageHDU:
    if part is not None:
        try:
            name, _, version = part.partition(",")
            return hdus[(name, int(version)) if version else int(part) if part.isdigit() else part]
        except (KeyError, IndexError) as error:
            raise Unusable(f"the file has no extension {part}") from error
    images = [hdu for hdu in hdus if hdu.is_image and len(hdu.shape) > 1]
    named = [hdu for hdu in images if role_of(hdu.name) == "image"]
    unnamed = [hdu for hdu in images if role_of(hdu.name) is None]
    found = named or unnamed
    if len(found) == 1:
        return found[0]
    if not found:
        raise Unusable("the file has no image")
    raise Several("extensions", [hdu.name or str(hdus.index(hdu)) for hdu in found])


def _cards(content: bytes) -> tuple[str, ...]:
    """Return the cards of the first header that say how an image is calibrated."""
    cards = []
    for start in range(0, len(content), 80):
        card = content[start : start + 80].decode("ascii", "replace")
        keyword = card[:8].rstrip()
        if keyword in KEYWORDS:
            cards.append(card)
        elif keyword == "END":
            break
    return tuple(cards)
