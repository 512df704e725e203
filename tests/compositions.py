"""Configs of the same groups are put together once in a session of tests, and then copied.

Most tests of a command choose among the same few groups, and putting these together took a quarter
of the time of all tests. Overrides are applied to each copy as ever. Where groups of another folder
than galgen's are in reach, Hydra reads all of them each time, since tests write them.
"""

import copy
import functools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra._internal.defaults_list import DefaultsTreeNode, Overrides, ResultDefault
from omegaconf import DictConfig

from galgen.config.paths import CONF


@contextmanager
def composed_once() -> Iterator[None]:
    """Have Hydra remember which groups it arrived at from a choice, and what they hold together."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name, remembering in STEPS:
            patch.setattr(owner, name, remembering(getattr(owner, name)))
        yield


def choosing_once(choose):
    """Return what makes a list of groups of a choice, and remembers the lists that it made."""
    chosen = {}

    @functools.wraps(choose)
    def choose_once(
        repo: IConfigRepository, config_name: str, overrides: Overrides, **options: bool
    ) -> tuple[list[ResultDefault], DefaultsTreeNode]:
        if not only_galgens(repo):
            return choose(repo, config_name, overrides, **options)
        choice = repr((config_name, options, notes(overrides)))
        if choice not in chosen:
            found = choose(repo, config_name, overrides, **options)
            chosen[choice] = copy.deepcopy((found, notes(overrides)))
        found, noted = copy.deepcopy(chosen[choice])
        vars(overrides).update(noted)
        return found

    return choose_once


def joining_once(join):
    """Return what makes a config of a list of groups, and remembers the configs that it made."""
    joined = {}

    @functools.wraps(join)
    def join_once(
        self: ConfigLoaderImpl, defaults: list[ResultDefault], repo: IConfigRepository
    ) -> DictConfig:
        if not only_galgens(repo):
            return join(self, defaults, repo)
        groups = repr(defaults)
        if groups not in joined:
            joined[groups] = join(self, defaults, repo)
        return copy.deepcopy(joined[groups])

    return join_once


def only_galgens(repo: IConfigRepository) -> bool:
    """Say whether all groups in reach are galgen's own, Hydra's or those of its plugins."""
    sources = repo.get_sources()
    return all(source.scheme() != "file" or source.path == str(CONF) for source in sources)


def notes(overrides: Overrides) -> dict:
    """Return what Hydra notes about the groups of a choice, beside the other overrides."""
    return {name: note for name, note in vars(overrides).items() if name != "config_overrides"}


STEPS = (
    (defaults_list, "_create_defaults_list", choosing_once),
    (ConfigLoaderImpl, "_compose_config_from_defaults_list", joining_once),
)
"""Functions of Hydra, by their owner and name, and what makes each of them remember."""
