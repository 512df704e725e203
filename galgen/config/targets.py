"""Classes that a config names: which are allowed, whether their arguments fit, and their objects.

Checking and instantiating import the module of each target; checking its name does not.
"""

import difflib
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import get_args

import hydra
from omegaconf import DictConfig, ListConfig, OmegaConf

from galgen.errors import GalgenError

ALLOWED = ("galgen", "torch.nn", "torch.optim", "pytorch_lightning")
"""Packages whose classes a `_target_` may name."""
REFUSED = ("pytorch_lightning.cli",)
"""Parts of them that run commands of their own."""
PLAIN = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    type(None): "null",
}
"""Types of plain values, in the words of error messages."""
SPECIAL = ("_target_", "_partial_", "_recursive_", "_convert_", "_args_")

REFERENCE = re.compile(r"\$\{([A-Za-z_][\w.]*)\}")
"""A value that another key of the config gives."""

_trusted: set[str] = set()


def trust(packages: Iterable[str]) -> None:
    """Let a `_target_` name classes of the user's own packages in this process.

    Args:
        packages: their names.

    Raises:
        GalgenError: if one is not the name of a package.
    """
    packages = [packages] if isinstance(packages, str) else list(packages)
    for package in packages:
        if not isinstance(package, str) or not package.replace(".", "_").isidentifier():
            raise GalgenError(
                f"trusted_packages={packages}: {package!r} is not the name of a Python package. "
                "Give names such as trusted_packages=[mypackage]."
            )
    _trusted.update(packages)


def instantiate(config: DictConfig | None, allowed: tuple[str, ...] = ALLOWED, **arguments):
    """Make the object that a config node describes, and those inside it.

    Args:
        config: node with a `_target_`; None gives None.
        allowed: packages or modules whose classes it may name.
        **arguments: added to the node's own.

    Raises:
        GalgenError: if a target is not allowed.
    """
    if config is None:
        return None
    check_targets(config, allowed)
    return hydra.utils.instantiate(config, **arguments, _convert_="all")


def check_targets(config: DictConfig, allowed: tuple[str, ...] = ALLOWED) -> None:
    """Check that every `_target_` names a public class of an allowed package.

    Args:
        config: any part of a config.
        allowed: packages or modules.

    Raises:
        GalgenError: if one does not; it has not been called then.
    """
    check_names(config, allowed)
    own = tuple(_trusted)
    for key, node in _target_nodes(config):
        target = node["_target_"]
        found = locate(key, target)
        # galgen.config.command.os.system has an allowed name, but is not ours.
        if not inspect.isclass(found) or not inside(found.__module__, ALLOWED + own):
            raise GalgenError(
                f"{_target(key)}={target}: refused, it is not a class defined in "
                f"{', '.join(allowed + own)}. Name one."
            )


def check_names(config: DictConfig, allowed: tuple[str, ...] = ALLOWED) -> None:
    """Check every `_target_` as `check_targets` does, by its name alone: nothing is imported.

    Raises:
        GalgenError: if one is not the name of something public in an allowed package.
    """
    for key, node in _target_nodes(config):
        target = str(node["_target_"])
        private = any(part.startswith("_") for part in target.split("."))
        if not inside(target, allowed + tuple(_trusted)) or inside(target, REFUSED) or private:
            raise GalgenError(
                f"{_target(key)}={target}: refused, only public classes of {', '.join(allowed)} "
                "may be named here. Name a package of your own: trusted_packages=[mypackage]."
            )


def check_arguments(config: DictConfig) -> None:
    """Check the arguments of every `_target_` against its signature.

    Raises:
        GalgenError: if a target does not take one of its arguments.
    """
    for key, node in _target_nodes(config):
        known = arguments_of(locate(key, node["_target_"]))
        for name in node:
            _check_type(_typed_key(key, node, name), node[name], (known or {}).get(name))
            if known is not None and name not in known and name not in SPECIAL:
                owner = node["_target_"].rsplit(".", 1)[1]
                raise GalgenError(
                    f"{key}.{name}: {owner} takes no such argument{did_you_mean(name, known)}"
                )


def locate(key: str, target: str) -> Callable:
    """Import the class or function that a `_target_` names.

    Raises:
        GalgenError: if there is no such thing.
        ModuleNotFoundError: if its module needs a package that is not installed.
    """
    module, _, name = target.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        if isinstance(error, ModuleNotFoundError) and not inside(target, (error.name,)):
            raise
        wrong = f"{_target(key)}={target}: there is no such class. Correct the name."
        raise GalgenError(wrong) from error


def _target(key: str) -> str:
    return f"{key}._target_".lstrip(".")


def _target_nodes(node, key: str = "") -> Iterator[tuple[str, DictConfig]]:
    """Walk a config, giving every node that becomes an object."""
    if isinstance(node, DictConfig):
        if "_target_" in node:
            yield key, node
        children = node.keys()
    elif isinstance(node, ListConfig):
        children = range(len(node))
    else:
        return
    for child in children:
        if OmegaConf.is_missing(node, child):
            raise GalgenError(f"{key}.{child}".lstrip(".") + " has no value. Give it one")
        yield from _target_nodes(node[child], _typed_key(key, node, child))


def _typed_key(key: str, node: DictConfig | ListConfig, child: str | int) -> str:
    """Return the key under which the user gives a part of a config: `mosaic` of prepare.mosaic."""
    if OmegaConf.is_interpolation(node, child):
        given = OmegaConf.to_container(node, resolve=False)[child]
        if elsewhere := REFERENCE.fullmatch(given):
            return elsewhere[1]
    return f"{key}.{child}".lstrip(".")


def arguments_of(target: Callable) -> dict[str, object] | None:
    """Name the arguments that a class takes, with their annotations; None if it takes any.

    `**arguments` of our own classes go to the base class.
    """
    names: dict[str, object] = {}
    for cls in inspect.getmro(target):
        if "__init__" not in vars(cls):
            continue
        parameters = inspect.signature(cls.__init__).parameters.values()
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        names = {p.name: p.annotation for p in named if p.name != "self"} | names
        if not any(p.kind == p.VAR_KEYWORD for p in parameters):
            return names
        if not inside(cls.__module__, ("galgen",)):
            return None
    return None


def _check_type(key: str, value, annotation) -> None:
    """Check a plain value against an annotation of plain types; others are the class's to check.

    Raises:
        GalgenError: if the type is another.
    """
    kinds = get_args(annotation) or (annotation,)
    plain = all(isinstance(kind, type) and kind in PLAIN for kind in kinds)
    if not plain or OmegaConf.is_config(value):
        return
    fits = type(value) in kinds or (type(value) is int and float in kinds)
    if not fits:
        wanted = " or ".join(PLAIN[kind] for kind in kinds)
        said = value if isinstance(value, str) else json.dumps(value)
        raise GalgenError(f"{key}={said}: it takes {wanted}.")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question about the known name that is most like another; empty if none is."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


def inside(name: str, packages: tuple[str, ...]) -> bool:
    """Return whether a dotted name is one of some packages or inside one."""
    return any(name == package or name.startswith(package + ".") for package in packages)
