"""`python -m galgen.prepare`: make a survey's stamp file."""

import numpy as np
from omegaconf import DictConfig

from galgen.config.command import command
from galgen.config.targets import check_arguments, check_targets, instantiate
from galgen.config.wording import quoted


@command("prepare")
def main(config: DictConfig) -> None:
    """Prepare a survey, or its missing shards, and print its path."""
    check_targets(config)
    check_arguments(config)
    from galgen.data.preparation import prepare

    survey = instantiate(config.data)
    source = instantiate(config.prepare)
    complete = prepare(source, survey.file, config.overwrite)
    for note in source.notes:
        print(note)
    if complete:
        print(f"{survey.file} is ready:")
        print(f"    python -m galgen.describe data.file={quoted(str(survey.file))}")
        print(f"    {training_command(survey)}")
    else:
        print(
            f"shard {source.shard} is ready; the one that is finished last joins them as "
            f"{survey.file}"
        )


def training_command(survey) -> str:
    """Return the command that trains a model on a survey, or the reason why none can.

    Args:
        survey: data module of the prepared stamp file.
    """
    from galgen.data.split import parents_of, split_by_parent
    from galgen.data.stamp_file import StampFile

    stamps = StampFile(survey.file)
    rows = split_by_parent(parents_of(stamps), survey.split, survey.split_seed)
    train, val = len(rows["train"]), len(rows["val"])
    if train < 2 or not val:
        return f"(its {len(stamps)} stamps are too few for a training: it takes about 20 galaxies)"
    words = [f"data={survey.name}", f"data.file={quoted(str(survey.file))}"]
    size = min(survey.image_size or stamps.size, stamps.size)
    words.append(f"data.image_size={size}")
    if train < survey.batch_size:
        words.append(f"data.batch_size={2 ** int(np.log2(train))}")
    return " ".join(["python -m galgen.train", *words])


if __name__ == "__main__":
    main()
