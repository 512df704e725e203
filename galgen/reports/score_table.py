"""The scores of an evaluation on the terminal."""


def print_table(facts: dict) -> None:
    """Print the scores, a row for each prior and control, those of colours in a second table.

    Args:
        facts: what evaluation.json holds.
    """
    from rich.console import Console

    from galgen.evaluation.scores import METRICS

    simulated = "simulated " if facts["simulated"] else ""
    title = (
        f"{facts['run']}: {facts['n']} generated against {facts['real']} {simulated}galaxies "
        f"of '{facts['survey']}', split {facts['split']}, {len(facts['seeds'])} seeds"
    )
    caption = f"W1/σ: mean over {', '.join(facts['headline'])}. Compared: {facts['compared']}."
    shown = {name: metric for name, metric in METRICS.items() if metric.in_table}
    of_colours = {name: shown.pop(name) for name in list(shown) if shown[name].of_colours}
    console = Console()
    console.width = max(console.width, 130)
    console.print(_table(shown, facts["scores"], title=title, caption=caption))
    if any(name in scores for name in of_colours for scores in facts["scores"].values()):
        title = f"Colours: differences between neighbours among {', '.join(facts['bands'])}"
        console.print(_table(of_colours, facts["scores"], title=title))
    if any(facts.get("shear", {}).values()):
        console.print(_shear_table(facts["shear"]))
    for note in facts["left_out"]:
        console.print(f"- {note}", highlight=False)


def _shear_table(shear: dict[str, dict[str, dict]]):
    """Make a table of the responses to shear, a row for each prior and instrument."""
    from rich.table import Table

    table = Table(title="Response of ellipticities to shear, generated against true light")
    numbers = ("real", "generated", "difference", "error", "floor")
    for heading in ("prior", "seen from", *numbers):
        table.add_column(heading, justify="right" if heading in numbers else "left")
    for prior, found in shear.items():
        for instrument, row in found.items():
            table.add_row(prior, instrument, *(f"{row[name]:.4f}" for name in numbers))
    return table


def _table(metrics: dict, scores: dict[str, dict], **words: str):
    """Make a table of metrics, a row for each sample."""
    from rich.table import Table

    table = Table(**words)
    table.add_column("sample", no_wrap=True)
    for metric in metrics.values():
        table.add_column(metric.label, justify="right")
    table.add_row("ideal", *(metric.ideal_text for metric in metrics.values()), style="dim")
    for name, row in scores.items():
        cells = [row.get(key) for key in metrics]
        texts = ["" if cell is None or cell != cell else f"{cell:.3f}" for cell in cells]
        table.add_row(name.replace("_", " "), *texts)
    return table
