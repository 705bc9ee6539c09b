"""Tell a tracking server (MLflow) of the workspace, or of all experiments of DVC, each once.

    python -m stages.track [--all] [--with-model] [--experiment NAME]

This is not a stage of ``dvc.yaml``: outputs and caches stay as they are. The server is the one in
``MLFLOW_TRACKING_URI``. Reads git and DVC's cache: parameters, metrics and curves, the report, and
DVC's md5 of the models, or with ``--with-model`` their files.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from stages.lib.errors import UserError, UserErrors
from stages.lib.process import only_one, run_stage
from stages.lib.tracking.experiments import (
    Named,
    all_experiments,
    copy_files,
    read_result,
    workspace,
)
from stages.lib.tracking.server import Server, find_server, is_there, send

RUNNING = Path(".scratch/track.lock")


def parse_arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.track",
        description="Tell the MLflow server in MLFLOW_TRACKING_URI of the workspace, or of all "
        "experiments of DVC, each once.",
    )
    parser.add_argument("--all", action="store_true", help="all experiments of DVC")
    parser.add_argument("--with-model", action="store_true", help="also send models/")
    parser.add_argument(
        "--experiment",
        default="account-coder",
        metavar="NAME",
        help="the experiment in MLflow that takes the runs; default: account-coder",
    )
    return parser.parse_args()


def track(server: Server, named: Named, with_model: bool) -> str:
    """Send a result if the server does not have it, and return a line that says what was done.

    Raises
    ------
    UserError
        It is not whole on this machine, or the server does not take it.
    """
    result = read_result(named)
    if is_there(server, named, result.lock):
        return f"{named.name}: is there already"
    with TemporaryDirectory() as folder:
        copy_files(named, Path(folder), with_model)
        remarks = send(server, named, result, Path(folder))
    counts = f"{len(result.params)} parameters, {len(result.metrics)} metrics"
    return "\n".join([*remarks, f"{named.name}: sent with {counts} and the report"])


def main() -> None:
    arguments = parse_arguments()
    server = find_server(arguments.experiment)
    with only_one(RUNNING, "another 'python -m stages.track'"):
        chosen = all_experiments() if arguments.all else [workspace()]
        if not chosen:
            print("there is no experiment of DVC in this repository", file=sys.stderr)
        refused = []
        for named in chosen:
            try:
                print(f"{server.address}: {track(server, named, arguments.with_model)}", flush=True)
            except UserError as error:
                if error.code != "not-here":
                    raise
                refused.append(error)  # the others can still be sent
        if refused:
            raise UserErrors(refused)


if __name__ == "__main__":
    run_stage(main)
