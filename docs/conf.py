"""Sphinx's settings: `make docs` builds these pages, the studies' and the API's into build/docs."""

import numpy.typing


class ArrayLike:
    """Stands in for numpy's type, whose definition would fill ten lines of each signature."""


ArrayLike.__module__ = "builtins"  # shown without a prefix
numpy.typing.ArrayLike = ArrayLike

project = "galgen"
project_copyright = "the galgen developers"
root_doc = "docs/index"
include_patterns = ["docs/**", "experiments/*/README.md"]
exclude_patterns = ["docs/api/modules.rst"]
extensions = ["myst_parser", "sphinx.ext.apidoc", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

apidoc_modules = [
    {
        "path": "../galgen",
        "destination": "docs/api",
        "module_first": True,
        "automodule_options": {"members", "show-inheritance"},
    }
]
autodoc_default_options = {"special-members": "__call__"}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
default_role = "code"  # the docstrings' `code`
napoleon_custom_sections = ["Source"]
napoleon_use_ivar = True

myst_heading_anchors = 3

html_theme = "furo"
html_title = "galgen"
html_show_sourcelink = False
html_extra_path = ["to_first_page"]


original = {}
"""Docstrings of attributes, in which Napoleon would take what precedes a colon for a type."""


def keep(app, what, name, thing, options, lines):
    """Keep an attribute's docstring before Napoleon rewrites it."""
    if what in ("attribute", "data", "property"):
        original[name] = list(lines)


def restore(app, what, name, thing, options, lines):
    """Bring it back."""
    lines[:] = original.pop(name, lines)


def setup(app):
    """Connect both around Napoleon."""
    app.connect("autodoc-process-docstring", keep, priority=1)
    app.connect("autodoc-process-docstring", restore, priority=999)
