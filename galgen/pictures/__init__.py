"""What is drawn of a run: which galaxies, latents or curves go into which figure.

A class is imported when it is first asked for: losses need no torch.
"""

from importlib import import_module

_MODULES = {
    "Interpolation": "galaxies",
    "Latent": "latent_space",
    "Losses": "losses",
    "Reconstruction": "galaxies",
    "Samples": "galaxies",
    "Traversal": "latent_space",
    "decode_at": "galaxies",
}

__all__ = list(_MODULES)


def __getattr__(name: str):
    """Import what is asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
