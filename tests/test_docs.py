"""Docstrings of all that is public: `make docs` makes the API pages of them."""

import builtins
import functools
import inspect
import re
from importlib import import_module
from pkgutil import walk_packages
from types import ModuleType

import pytest

import galgen
from galgen import errors

SECTIONS = {"Args", "Attributes", "Raises", "Returns", "Source", "Yields"}
STARS = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def modules() -> list[ModuleType]:
    """Import all of galgen."""
    found = walk_packages(galgen.__path__, "galgen.")
    return [galgen, *(import_module(module.name) for module in found)]


def is_public(name: str) -> bool:
    return not name.startswith("_") or name == "__call__"


def methods(cls) -> dict[str, object]:
    found = {}
    for name, member in vars(cls).items():
        for wrapper in ("__func__", "fget", "func"):  # of static and class methods, properties
            member = getattr(member, wrapper, member)
        if is_public(name) and inspect.isfunction(member):
            found[f"{cls.__module__}.{cls.__qualname__}.{name}"] = member
    return found


def public() -> dict[str, object]:
    """Find all public modules, classes, functions and methods of galgen by their full names."""
    found = {}
    for module in modules():
        found[module.__name__] = module
        for name, thing in vars(module).items():
            own = getattr(thing, "__module__", None) == module.__name__
            if own and is_public(name) and (inspect.isclass(thing) or inspect.isfunction(thing)):
                found[f"{module.__name__}.{name}"] = thing
                found |= methods(thing) if inspect.isclass(thing) else {}
    return found


PUBLIC = public()


def sections(thing) -> dict[str, str]:
    """Split a docstring at its headings."""
    parts = re.split(r"^(\w+):\n(?= {4})", inspect.cleandoc(thing.__doc__), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def having(section: str) -> list[str]:
    return [name for name, thing in PUBLIC.items() if section in sections(thing)]


def entries(section: str) -> list[str]:
    """List what a section describes: the names at the first level of indentation."""
    return re.findall(r"^ {4}([\w.*]+):", section, flags=re.MULTILINE)


@pytest.mark.parametrize("name", PUBLIC)
def test_it_begins_with_a_sentence(name):
    assert PUBLIC[name].__doc__, "no docstring"
    first, *rest = inspect.cleandoc(PUBLIC[name].__doc__).split("\n")
    assert first.endswith("."), "the first line is no whole sentence"
    assert not re.search(r"(?<!al)\. [A-Z]", first), "the first line is several sentences"
    assert not rest or rest[0] == "", "the first sentence has two lines"
    assert sections(PUBLIC[name]).keys() <= SECTIONS


@pytest.mark.parametrize("name", having("Args"))
def test_it_describes_its_arguments_and_no_others(name):
    parameters = inspect.signature(PUBLIC[name]).parameters.values()
    taken = [STARS.get(parameter.kind, "") + parameter.name for parameter in parameters]
    described = entries(sections(PUBLIC[name])["Args"])
    assert sorted(described) == sorted(set(taken) - {"self"})


@pytest.mark.parametrize("name", having("Raises"))
def test_it_raises_what_there_is(name):
    known = {**vars(builtins), **vars(errors), **vars(inspect.getmodule(PUBLIC[name]))}
    for error in entries(sections(PUBLIC[name])["Raises"]):
        first, *rest = error.split(".")
        assert issubclass(functools.reduce(getattr, rest, known[first]), Exception)
