"""The distributions of a survey's columns."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from galgen.figures.display import COLOURS, STYLE


def draw_histograms(columns: dict[str, np.ndarray]) -> Figure:
    """Draw the distribution of each column.

    Args:
        columns: finite values (n,) by label; n may differ.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.4 * len(columns), 2.2), layout="constrained")
        axes = figure.subplots(1, len(columns), squeeze=False)[0]
        for axis, (label, values) in zip(axes, columns.items(), strict=True):
            axis.hist(values, bins=min(60, max(5, len(values) // 10)), color=COLOURS[0])
            axis.set_xlabel(label)
        axes[0].set_ylabel("stamps")
    return figure
