"""Every figure; functions of arrays that return a matplotlib Figure."""

from galgen.figures.curves import histograms, losses
from galgen.figures.display import Display, save
from galgen.figures.evaluation import by_redshift, neighbours, power, size_magnitude, statistics
from galgen.figures.galaxies import (
    contact_sheet,
    interpolation,
    reconstruction,
    samples,
    strips,
    traversal,
)
from galgen.figures.latents import corner, kl_by_dimension
from galgen.figures.rate_distortion import rate_distortion

__all__ = [
    "Display",
    "by_redshift",
    "contact_sheet",
    "corner",
    "histograms",
    "interpolation",
    "kl_by_dimension",
    "losses",
    "neighbours",
    "power",
    "rate_distortion",
    "reconstruction",
    "samples",
    "save",
    "size_magnitude",
    "statistics",
    "strips",
    "traversal",
]
