"""Configuration: where it lies, how commands are run with it, how it becomes objects.

Composing needs neither torch nor Lightning; checking and instantiating import what the targets
need.
"""

import difflib
import errno
import functools
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import NoReturn, get_args

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import (
    ConfigKeyError,
    InterpolationKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from galgen.errors import GalgenError
from galgen.files import DISK_FULL, expand, reason
from galgen.lookup import locate as locate_run

_PACKAGE = Path(__file__).resolve().parent
CONF = next(p for p in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if p.is_dir())
"""The config groups: inside an installed package, beside it in a checkout."""

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
PATHS = (
    *("run_root", "init_from", "out", "file", "data.file"),
    *("prepare.release", "prepare.downloads"),
)
"""Keys that take a path, in any command; `run` is looked up."""
HYDRAS = ("run_root", "hydra.sweep.dir", "hydra.run.dir")
"""Folders that Hydra makes."""
WITH_VALUE = (
    *("--cfg", "-c", "--package", "-p", "--info", "-i", "--experimental-rerun"),
    *("--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd"),
)
"""Hydra's options that the next word belongs to."""
SPECIAL = ("_target_", "_partial_", "_recursive_", "_convert_", "_args_")


def command(
    config_name: str,
    resumes: bool = True,
    words: str | None = None,
    lists: Iterable[str] = (),
    watched: Callable[[], AbstractContextManager] = nullcontext,
) -> Callable[[Callable[[DictConfig], None]], Callable[[], None]]:
    """Make a function of a config into a command; its errors become a sentence.

    Args:
        config_name: the command's file in conf/, without `.yaml`.
        resumes: whether the command, when it was cut, goes on where it was.
        words: the key that is given, as a list, what on the command line is no `key=value`.
        lists: keys whose values may be listed without brackets, `key=a,b`.
        watched: makes a context in which the whole of it runs, all jobs of a sweep.

    Returns:
        A decorator. The decorated function takes no arguments and reads the command line. It
        exits with 1 after an error and 130 after Ctrl-C; HYDRA_FULL_ERROR=1 shows tracebacks.
    """

    def decorate(task: Callable[[DictConfig], None]) -> Callable[[], None]:
        show_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"

        @functools.wraps(task)
        def run_task(config: DictConfig):
            if not show_traceback:  # of child processes either
                os.environ.pop("HYDRA_FULL_ERROR", None)
            try:
                check_given(config, config_name)
                fill_in_paths(config)
                if "run" in config:
                    find_run(config)
                return task(config)
            except Exception as error:
                if show_traceback:
                    raise
                if HydraConfig.get().mode != RunMode.MULTIRUN:
                    leave(error)
                # The other jobs of a sweep go on, and Hydra raises this one's error at the end.
                print(f"galgen: {explain(error)}", file=sys.stderr)
                raise GalgenError("a job of the sweep failed, for the reason above") from error
            finally:
                os.environ["HYDRA_FULL_ERROR"] = "1"

        @functools.wraps(task)
        def main() -> None:
            before = os.environ.get("HYDRA_FULL_ERROR", "0")
            os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors instead of printing
            try:
                if words:
                    sys.argv[1:] = name_words(sys.argv[1:], words)
                sys.argv[1:] = with_environment(bracketed(sys.argv[1:], lists))
                with watched():
                    hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(
                        run_task
                    )()
            except BrokenPipeError:  # of `--cfg job | head`
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                sys.exit(1)
            except Exception as error:
                if show_traceback:
                    raise
                leave(error)
            except KeyboardInterrupt:
                then = "; the same command goes on from here" if resumes else ""
                print(f"galgen: interrupted{then}", file=sys.stderr)
                sys.exit(130)
            finally:
                os.environ["HYDRA_FULL_ERROR"] = before

        return main

    return decorate


def leave(error: Exception) -> NoReturn:
    """Say what went wrong, and exit."""
    print(f"galgen: {explain(error)}", file=sys.stderr)
    sys.exit(getattr(error, "exit_code", 1))


def name_words(arguments: list[str], key: str) -> list[str]:
    """Turn the words of a command line into `key=[...]`, which Hydra can read.

    Args:
        arguments: the command line. Options and `key=value` stay; a path with an equals sign in it
            is a word where it exists.
        key: what the words are values of.

    Raises:
        GalgenError: if the key is given as well.
    """
    words, others = [], []
    for previous, word in zip(["", *arguments], arguments, strict=False):
        is_option = word.startswith("-") or previous in WITH_VALUE
        is_pair = "=" in word and not Path(word).exists()
        (others if is_option or is_pair else words).append(word)
    if words and any(other.startswith(f"{key}=") for other in others):
        raise GalgenError(f"{words[0]}: give all as {key}=[...], or all as words without {key}=")
    quoted = [QuotedString(word, Quote.single).with_quotes() for word in words]
    if len(quoted) == 1:
        return [*others, f"{key}={quoted[0]}"]
    return [*others, f"{key}=[{','.join(quoted)}]"] if words else others


def with_environment(arguments: list[str]) -> list[str]:
    """Fill in what Hydra cannot read in paths: ${NAME} of the environment, and ~.

    Args:
        arguments: the command line. The rest of a path is filled in when the config is composed,
            but for the folder of a sweep, which Hydra makes before.
    """
    filled = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals and key.lstrip("+") in (*PATHS, *HYDRAS, "run"):
            value = re.sub(r"\$\{(\w+)\}", lambda name: os.environ.get(name[1], name[0]), value)
            for home in re.findall(r"(?<![^,\[])~\w*", value):
                value = value.replace(home, str(fill_in(key, home)), 1)
            if key in HYDRAS and "${" not in value:
                value = str(fill_in(key, value))
        filled.append(f"{key}{equals}{value}")
    return filled


def check_given(config: DictConfig, config_name: str) -> None:
    """Check that every key without a default has been given.

    Args:
        config: a command's.
        config_name: its file in conf/, without `.yaml`.

    Raises:
        GalgenError: naming all that are missing, and what each is.
    """
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        named = "; ".join(_described(key, config_name) for key in missing)
        raise GalgenError(f"missing: {named}. Give each as key=value.")


def _described(key: str, config_name: str = "") -> str:
    """Give a key with the comment beside it in conf/, in the command's own file if it is there."""
    line = re.compile(rf"^\s*{re.escape(key.rpartition('.')[2])}: \?\?\?\s+#\s*(.+)$", re.MULTILINE)
    command_first = [CONF / f"{config_name}.yaml"] if config_name else []
    command_first += sorted(CONF.rglob("*.yaml"), key=lambda path: len(path.parts))
    found = (line.search(path.read_text()) for path in command_first)
    return next((f"{key} ({match[1]})" for match in found if match), key)


def fill_in_paths(config: DictConfig) -> None:
    """Fill in ~ and environment variables of all keys that take a path.

    Raises:
        GalgenError: if a variable is not set.
    """
    for key in PATHS:
        value = OmegaConf.select(config, key)
        if isinstance(value, str) and value:
            OmegaConf.update(config, key, str(fill_in(key, value)))


def fill_in(key: str, value: str) -> Path:
    """Fill in ~ and environment variables of a path.

    Args:
        key: the key that it was given as, for the message.
        value: the path.

    Raises:
        GalgenError: if a variable is not set, or `~name` is of no user.
    """
    try:
        path = expand(value)
    except RuntimeError as error:
        raise GalgenError(f"{key}={value}: there is no such home folder. Write it out.") from error
    unset = re.search(r"\$\{?([A-Za-z_]\w*)\}?", str(path))
    if unset and unset[1] not in os.environ and not path.exists():
        raise GalgenError(
            f"{key}={value}: the environment variable {unset[1]} is not set. Set it, or write the "
            "path out."
        )
    return path


def find_run(config: DictConfig) -> None:
    """Put the path of each run, or what stands in its place, into `run`.

    Raises:
        GalgenError: if there is no such run.
    """
    sources = config.run if isinstance(config.run, ListConfig) else [config.run]
    found = [str(locate_run(fill_in("run", str(source)))) for source in sources]
    config.run = found if isinstance(config.run, ListConfig) else found[0]


def bracketed(arguments: list[str], keys: Iterable[str]) -> list[str]:
    """Put brackets around lists on a command line, which Hydra takes for a sweep without.

    Args:
        arguments: the command line.
        keys: whose values may be lists.
    """
    pairs = [argument.partition("=") for argument in arguments]
    return [
        f"{key}=[{value}]" if key in keys and "," in value and value[0] not in "[\"'" else argument
        for argument, (key, _, value) in zip(arguments, pairs, strict=True)
    ]


def explain(error: BaseException) -> str:
    """Turn an error into a sentence for the user."""
    cause = error.__cause__
    if isinstance(error, GalgenError):
        return str(error)
    if isinstance(error, MissingConfigException):
        return _missing_option(error)
    if isinstance(error, OverrideParseException):
        first = error.message.splitlines()[0]
        return f"{error.override}: cannot be read as an override, {first}"
    if isinstance(error, InstantiationException) and cause is not None:
        key = str(error).rsplit("full_key: ", 1)
        where = f"{key[1].strip()}: " if len(key) == 2 else ""
        return where + explain(cause)
    if isinstance(error, HydraException) and isinstance(cause, ConfigKeyError | AttributeError):
        return _unknown_key(cause)
    if isinstance(error, MissingMandatoryValue):
        return f"missing: {_described(error.full_key)}. Give each as key=value."
    if isinstance(error, InterpolationKeyError) and error.full_key in (*PATHS, "run"):
        name = re.search(r"'(.*?)'", str(error))
        return (
            f"{error.full_key}: {name[1] if name else 'a variable'} is no environment variable and "
            "no key of the config. Set it, or write the path out."
        )
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        place = f" while writing {error.filename}" if error.filename else ""
        if error.errno == errno.EFBIG:
            return f"files may not be so large here (ulimit -f){place}; the same command goes on"
        return f"the disk is full{place}; free some space and give the same command again"
    why = reason(error)
    if why:
        place = getattr(error, "filename", None)
        return f"{place}: {why}." if place else f"{why[0].upper()}{why[1:]}."
    if isinstance(error, HydraException | OmegaConfBaseException | ValueError | OSError):
        return " ".join(str(error).split())
    first_line = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first_line} (HYDRA_FULL_ERROR=1 shows where)"


def instantiate(config: DictConfig | None, **arguments):
    """Make the object that a config node describes, and those inside it.

    Args:
        config: node with a `_target_`; None gives None.
        **arguments: added to the node's own.

    Raises:
        GalgenError: if a target is not allowed.
    """
    if config is None:
        return None
    check_targets(config)
    return hydra.utils.instantiate(config, **arguments, _convert_="all")


def check_targets(config: DictConfig, allowed: tuple[str, ...] = ALLOWED) -> None:
    """Check that every `_target_` names a public class of an allowed package.

    Args:
        config: any part of a config.
        allowed: packages or modules.

    Raises:
        GalgenError: if one does not; it has not been called then.
    """
    for key, node in _target_nodes(config):
        target = node["_target_"]
        private = any(part.startswith("_") for part in target.split("."))
        if not _inside(target, allowed) or _inside(target, REFUSED) or private:
            raise GalgenError(
                f"{key}._target_: {target} is refused, targets may be public classes of "
                f"{', '.join(allowed)} alone"
            )
        found = locate(key, target)
        # galgen.config.os.system has an allowed name, but is not ours.
        if not inspect.isclass(found) or not _inside(found.__module__, ALLOWED):
            raise GalgenError(
                f"{key}._target_: {target} is refused, it is no class that is defined in "
                f"{', '.join(allowed)}"
            )


def check_arguments(config: DictConfig) -> None:
    """Check the arguments of every `_target_` against its signature.

    Raises:
        GalgenError: if a target does not take one of its arguments.
    """
    for key, node in _target_nodes(config):
        known = _arguments(locate(key, node["_target_"]))
        for name in node:
            _check_type(f"{key}.{name}", node[name], (known or {}).get(name))
            if known is not None and name not in known and name not in SPECIAL:
                owner = node["_target_"].rsplit(".", 1)[1]
                raise GalgenError(
                    f"{key}.{name}: {owner} takes no such argument{_did_you_mean(name, known)}"
                )


def locate(key: str, target: str) -> Callable:
    """Import what a `_target_` names.

    Raises:
        GalgenError: if there is no such thing.
    """
    module, _, name = target.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise GalgenError(f"{key}._target_: there is no {target}") from error


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
            raise GalgenError(f"{key}.{child}".lstrip(".") + " has no value; give it one")
        yield from _target_nodes(node[child], f"{key}.{child}" if key else str(child))


def _arguments(target: Callable) -> dict[str, object] | None:
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
        if not _inside(cls.__module__, ("galgen",)):
            return None
    return None


def _missing_option(error: MissingConfigException) -> str:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    if error.options is None or not group:
        return " ".join(str(error).split())
    known = ", ".join(o for o in error.options if not o.startswith("_"))
    if group.startswith("hydra/"):
        return (
            f"{group}={option} is a plugin that is not installed (there are {known}); "
            "pip install 'galgen[sweeps,slurm]'"
        )
    close = _did_you_mean(option, error.options)
    return f"{group}={option}: there is no such option{close}; there are {known}"


def _unknown_key(error: OmegaConfBaseException) -> str:
    name, parent = str(error.key), error.parent_node
    key = error.full_key or name
    known = [str(k) for k in parent] if isinstance(parent, DictConfig) else []
    if "_target_" not in known:
        return f"{key}: there is no such key{_did_you_mean(name, known)}"
    target = parent["_target_"]
    if _inside(target, ALLOWED):
        taken = _arguments(locate(key, target)) or {}
        if name in taken:
            return (
                f"{key}: it has a default in {target.rsplit('.', 1)[1]}; to change it, +{key}=..."
            )
        known += list(taken)
    owner = target.rsplit(".", 1)[1]
    return f"{key}: {owner} takes no such argument{_did_you_mean(name, known)}"


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
        raise GalgenError(f"{key} is {value!r}, it takes {wanted}")


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


def _inside(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)
