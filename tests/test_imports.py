"""Imports go one way: from commands down to errors and files, without a circle."""

import graphlib

import pytest

from tests.imports import LAYERS, modules, package_of, packages

HEIGHT = {name: -number for number, layer in enumerate(LAYERS) for name in layer}


def test_every_package_has_its_layer():
    assert set(packages()) <= set(HEIGHT)


@pytest.mark.parametrize("package", [name for layer in LAYERS for name in layer])
def test_a_package_imports_lower_ones_alone(package):
    upward = [
        f"{module} imports {other}"
        for module, imported in modules().items()
        if package_of(module) == package
        for other in imported
        if package_of(other) != package and HEIGHT[package_of(other)] >= HEIGHT[package]
    ]
    assert not upward


def test_no_circle():
    graphlib.TopologicalSorter(modules()).prepare()


def test_a_command_imports_no_command():
    commands = [name for name in modules() if package_of(name) == "commands"]
    assert len(commands) > 10
    for module in commands:
        assert not [other for other in modules()[module] if package_of(other) == "commands"]
