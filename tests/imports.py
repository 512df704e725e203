"""Which packages of galgen import which: `python -m tests.imports` prints the graph."""

import ast
import functools
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "galgen"
LAYERS = (
    ("commands",),
    ("reports", "explorer"),
    ("figures", "catalogues"),
    ("evaluation", "sweeps"),
    ("training",),
    ("runs",),
    ("priors",),
    ("models", "data"),
    ("config",),
    ("files",),
    ("errors",),
)
"""A package imports its own modules and packages of lower layers alone."""


@functools.cache
def modules() -> dict[str, set[str]]:
    """Return the modules of galgen that each module imports, inside functions too."""
    paths = {_name(path): path for path in PACKAGE.rglob("*.py")}
    found = {}
    for name, path in paths.items():
        imported = set()
        tree = _Run().visit(ast.parse(path.read_text()))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                below = {f"{node.module}.{alias.name}" for alias in node.names}
                imported |= {child if child in paths else node.module for child in below}
        found[name] = {other for other in imported if other in paths} - {name, "galgen"}
    return found


def package_of(module: str) -> str:
    """Return the package of a module; commands are the modules at the top."""
    _, first, *below = [*module.split("."), ""]
    if first in ("errors", "files"):
        return first
    return first if below[:-1] or ((PACKAGE / first).is_dir() and first) else "commands"


def packages() -> dict[str, set[str]]:
    """Return the packages that each package imports."""
    found: dict[str, set[str]] = {}
    for module, imported in modules().items():
        own = found.setdefault(package_of(module), set())
        own |= {package_of(other) for other in imported} - {package_of(module)}
    return found


class _Run(ast.NodeTransformer):
    """Leaves out imports of types, which nothing runs."""

    def visit_If(self, node: ast.If) -> ast.If | None:
        of_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return None if of_types else self.generic_visit(node)


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


if __name__ == "__main__":
    graph = packages()
    for layer in LAYERS:
        for package in layer:
            print(f"{package:<12}-> {', '.join(sorted(graph.get(package, ()))) or '(nothing)'}")
