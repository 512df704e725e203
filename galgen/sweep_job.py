"""The process of one job of a sweep: `python -m galgen.sweep_job <records> <number>`.

The processes that Lightning starts for a training on several devices are this command again.
"""

import os
import sys
from pathlib import Path

from galgen.config import leave
from galgen.errors import InUse
from galgen.runs import Run
from galgen.sweep_records import read_job, read_records
from galgen.train import report, train_checked


def main() -> None:
    """Train the job whose folder and number are the command line."""
    folder, number = Path(sys.argv[1]), int(sys.argv[2])
    record = next(record for record in read_records(folder) if record.number == number)
    try:
        config, command = read_job(record, folder)
        run = Run(config)
        run.command = command
        train_checked(config, run)
        report(run)
    except InUse as error:
        print(f"galgen: {error}", file=sys.stderr)
        sys.exit(InUse.of_a_job)
    except KeyboardInterrupt:
        print("galgen: interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        leave(error)


if __name__ == "__main__":
    main()
