"""Publish a W&B workspace for a sweep over beta: what is lost, what is gained, how it looks."""

import argparse
import sys

import wandb
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

BETA = wr.Config("beta_schedule/beta")
GRADIENT = [wr.GradientPoint("#3b4cc0", 0), wr.GradientPoint("#b40426", 100)]
SAMPLES = ("normal", "flow", "posterior", "real_half")
"""Priors and controls whose scores are set side by side."""
SCORES = {"mean_w1": "W1/σ", "c2st": "C2ST (0.5: cannot be told)", "coverage": "coverage"}
FIGURES = ("statistics", "size_magnitude", "power")


def build(entity: str, project: str) -> ws.Workspace:
    """Lay out the workspace; nothing is sent."""
    sections = {
        "Losses": losses(),
        "Rate and distortion": trade_off(),
        "Pictures": pictures(),
        "Evaluation": evaluation(),
        "Speed": speed(),
    }
    return ws.Workspace(
        entity=entity,
        project=project,
        name="galgen: a sweep over beta",
        sections=[ws.Section(name, panels, is_open=True) for name, panels in sections.items()],
        settings=ws.WorkspaceSettings(x_axis="epoch", max_runs=50),
        runset_settings=ws.RunsetSettings(
            order=[ws.Ordering(ws.Summary("best/val/loss"), ascending=True)],
            pinned_columns=["summary:best/val/loss", "config:beta_schedule/beta.value"],
        ),
    )


def losses() -> list:
    """Losses by epoch, a line for each beta, with the spread of its runs."""
    names = ("val/loss", "val/reconstruction", "val/kl", "train/loss")
    return [
        wr.LinePlot(
            title=name,
            x="epoch",
            y=[name],
            log_y=True,
            groupby=BETA,
            groupby_aggfunc="mean",
            groupby_rangefunc="minmax",
        )
        for name in names
    ]


def trade_off() -> list:
    """Losses of each run's best epoch, and the choices that led there."""
    best = wr.SummaryMetric("best/val/loss")
    choices = {
        "β": (BETA, True),
        "latents": (wr.Config("model/latent_dim"), False),
        "learning rate": (wr.Config("optimizer/lr"), True),
        "seed": (wr.Config("seed"), False),
        "best val/loss": (best, True),
    }
    axes = [
        wr.ParallelCoordinatesPlotColumn(metric, name, log=log)
        for name, (metric, log) in choices.items()
    ]
    scatter = wr.ScatterPlot(
        title="KL (nats) against reconstruction, coloured by β",
        x=wr.SummaryMetric("best/val/reconstruction"),
        y=wr.SummaryMetric("best/val/kl"),
        z=BETA,
        log_z=True,
        gradient=GRADIENT,
    )
    return [
        scatter,
        wr.ParallelCoordinatesPlot(title="choices", columns=axes, gradient=GRADIENT),
        wr.ParameterImportancePlot(with_respect_to="best/val/loss"),
    ]


def pictures() -> list:
    """Reconstructions and generated galaxies, a row for each run."""
    return [
        wr.MediaBrowser(
            title=name,
            media_keys=[f"pictures/{name}"],
            mode="grid",
            grid_x_axis="step",
            grid_y_axis="run",
        )
        for name in ("reconstruction", "samples")
    ]


def evaluation() -> list:
    """Scores and figures of `python -m galgen.evaluate`, of the runs that have them."""
    bars = [
        wr.BarPlot(title=title, metrics=[f"evaluation/{sample}/{score}" for sample in SAMPLES])
        for score, title in SCORES.items()
    ]
    figures = [wr.MediaBrowser(title=f, media_keys=[f"evaluation/{f}"]) for f in FIGURES]
    return [*bars, wr.WeavePanelSummaryTable(table_name="evaluation/scores"), *figures]


def speed() -> list:
    """Images per second, and how busy GPU and CPU are."""
    return [
        wr.LinePlot(title="images/s", x="epoch", y=["images_per_second"]),
        *(
            wr.LinePlot(title=title, x="RelativeTime(Process)", y=[metric])
            for title, metric in {
                "GPU utilisation, %": "system/gpu.0.gpu",
                "GPU memory, %": "system/gpu.0.memoryAllocated",
                "CPU, %": "system/cpu",
            }.items()
        ),
    ]


def main() -> None:
    """Publish the workspace; W&B prints its address."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("entity", help="user or team")
    parser.add_argument("project", help="logger.project of the runs")
    arguments = parser.parse_args()
    try:
        build(arguments.entity, arguments.project).save()
    except wandb.errors.Error as error:
        sys.exit(f"the workspace could not be published: {str(error).splitlines()[0]}")


if __name__ == "__main__":
    main()
