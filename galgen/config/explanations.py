"""Errors as a sentence for the user."""

import errno
import re

from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigKeyError,
    InterpolationKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from galgen.config.paths import CONF, PATHS
from galgen.config.targets import ALLOWED, arguments_of, did_you_mean, inside, locate
from galgen.errors import GalgenError
from galgen.files import DISK_FULL, reason, system_number

EXTRAS = {
    "pandas": "parquet",
    "photutils": "mosaics",
    "pyarrow": "parquet",
    "skimage": "mosaics",
    "reproject": "mosaics",
    "tensorboard": "dashboards",
    "zarr": "zarr",
}
"""The extra of galgen's installation that brings a package."""

OWN_KEY = re.compile(r"[a-z_]\w*(\.\w+)+[=:]")
"""Start of a sentence that names its key."""


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
        key, said = str(error).rsplit("full_key: ", 1), explain(cause)
        where = f"{key[1].strip()}: " if len(key) == 2 and not OWN_KEY.match(said) else ""
        return where + said
    if isinstance(error, HydraException) and isinstance(cause, ConfigKeyError | AttributeError):
        return _unknown_key(cause)
    if isinstance(error, MissingMandatoryValue):
        return f"missing: {_described(error.full_key)}. Give each as key=value."
    if isinstance(error, InterpolationKeyError) and error.full_key in (*PATHS, "run"):
        name = re.search(r"'(.*?)'", str(error))
        return (
            f"{error.full_key}: {name[1] if name else 'a variable'} is neither an environment "
            "variable nor a key of the config. Set it, or write the path out."
        )
    if isinstance(error, ModuleNotFoundError):
        package = str(error.name).partition(".")[0]
        if package in EXTRAS:
            return (
                f"this needs the package {package}, which is not installed. "
                f"pip install 'galgen[{EXTRAS[package]}]'"
            )
    number = system_number(error)
    if isinstance(error, OSError | RuntimeError) and number in DISK_FULL:
        written = getattr(error, "filename", None)
        place = f" while writing {written}" if written else ""
        if number == errno.EFBIG:
            why = f"files may not be so large here (ulimit -f){place}"
            return f"{why}. The same command continues from here."
        return f"the disk is full{place}. Free some space and give the same command again"
    why = reason(error)
    if why:
        place = getattr(error, "filename", None)
        return f"{place}: {why}." if place else f"{why[0].upper()}{why[1:]}."
    if isinstance(error, HydraException | OmegaConfBaseException | ValueError | OSError):
        return " ".join(str(error).split())
    first_line = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first_line} (HYDRA_FULL_ERROR=1 shows where)"


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
    """Give a key with its comment in conf/: in the group, the command's file, or any file."""
    line = re.compile(rf"^\s*{re.escape(key.rpartition('.')[2])}: \?\?\?\s+#\s*(.+)$", re.MULTILINE)
    files = sorted((CONF / key.partition(".")[0]).glob("*.yaml"))
    files += [CONF / f"{config_name}.yaml"] if config_name else []
    files += sorted(CONF.rglob("*.yaml"), key=lambda path: len(path.parts))
    found = (line.search(path.read_text()) for path in files)
    return next((f"{key} ({match[1]})" for match in found if match), key)


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
    if group == "prepare":
        return (
            f"data={option}: galgen cannot prepare this survey. Choose one of {known}, or give its "
            "stamp file to the command that reads it."
        )
    close = did_you_mean(option, error.options)
    return f"{group}={option}: there is no such option{close}; there are {known}"


def _unknown_key(error: OmegaConfBaseException) -> str:
    name, parent = str(error.key), error.parent_node
    key = error.full_key or name
    known = [str(k) for k in parent] if isinstance(parent, DictConfig) else []
    if "_target_" not in known:
        return f"{key}: there is no such key{did_you_mean(name, known)}"
    target = parent["_target_"]
    if inside(target, ALLOWED):
        taken = arguments_of(locate(key, target)) or {}
        if name in taken:
            return (
                f"{key}: it has a default in {target.rsplit('.', 1)[1]}; to change it, +{key}=..."
            )
        known += list(taken)
    owner = target.rsplit(".", 1)[1]
    return f"{key}: {owner} takes no such argument{did_you_mean(name, known)}"
