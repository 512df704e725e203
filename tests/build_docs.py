"""Build API pages from the docstrings."""

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType

import numpy.typing
import pdoc

import galgen


class ArrayLike:
    """Stands in for numpy's type, whose definition would fill ten lines of each signature."""


def modules() -> list[ModuleType]:
    """Import all of galgen."""
    found = walk_packages(galgen.__path__, "galgen.")
    return [galgen, *(import_module(module.name) for module in found)]


def build(folder: Path) -> None:
    """Write a page for each module; the first one says what each is for."""
    ArrayLike.__module__ = "builtins"  # shown without a prefix
    numpy.typing.ArrayLike = ArrayLike
    for module in modules():
        if re.fullmatch(r"galgen\.[a-z]\w*", module.__name__):
            galgen.__doc__ += f"\n- `{module.__name__}`: {module.__doc__.splitlines()[0]}"
        for _, thing in inspect.getmembers(module, inspect.isclass):
            if thing.__module__ == module.__name__:
                for name in {"__init__", "__call__"} & vars(thing).keys():  # pdoc hides them
                    method = vars(thing)[name]
                    method.__doc__ = f"{method.__doc__ or ''} @public"
    pdoc.render.configure(docformat="google", include_undocumented=False)
    pdoc.pdoc("galgen", output_directory=folder)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
