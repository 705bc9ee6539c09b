"""A tracking server (MLflow), told of each result once."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from stages.lib.errors import UserError, first_line
from stages.lib.tracking.experiments import Named, Result

ADDRESS = "MLFLOW_TRACKING_URI"
INSTALL = "pip install -r requirements-mlflow.txt"
# What a server takes of one value and in one call.
LONGEST_VALUE, PARAMS_AT_ONCE, METRICS_AT_ONCE = 6000, 100, 1000
# Nothing but the results is sent, and nothing but our lines is printed.
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
# A server that does not answer must not hold the command for minutes, as the library's own waiting
# does. One that has answered may take its time for a large file.
TIMEOUT, RETRIES = "MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
FIRST_CALL, LATER_CALLS = {TIMEOUT: "5", RETRIES: "1"}, {TIMEOUT: "120", RETRIES: "3"}
REFUSED = {401: "does not accept MLFLOW_TRACKING_TOKEN, or user name and password", 403: "refuses"}
DONE = "FINISHED"


class Server(NamedTuple):
    """A server that answered.

    Attributes
    ----------
    address : str
        To be shown: without a password.
    mlflow : module
    client : MlflowClient
    place : str
        The id of the experiment in MLflow whose runs are ours.
    """

    address: str
    mlflow: ModuleType
    client: object
    place: str


def shown_address(address: str) -> str:
    """Return an address without the user name and the password in it."""
    return re.sub(r"//[^/@]*@", "//", address)


@contextmanager
def telling(server: Server) -> Iterator[None]:
    """Turn what goes wrong with a server into a UserError of one line."""
    import requests

    try:
        yield
    except (server.mlflow.exceptions.MlflowException, requests.RequestException) as error:
        raise _refusal(error, server.address) from None


def _refusal(error: Exception, address: str) -> UserError:
    said = str(error)
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is None and hasattr(error, "get_http_status_code"):
        found = re.search(r"failed with error code (\d{3})|^(\d{3}) Client Error", said)
        status = int(found[1] or found[2]) if found else error.get_http_status_code()
    if status in REFUSED:
        return UserError(
            "login-refused", address, f"{REFUSED[status]} ({status})", "set those of this server"
        )
    if re.search(r"Max retries|Connection|timed out|Timeout|resolve", said):
        problem, action = "does not answer", f"start it, or correct {ADDRESS}"
        return UserError("no-server", address, problem, action)
    line = shown_address(first_line(error))[:300]
    return UserError("server-error", address, f"says: {line}", "see the server's log")


def find_server(place: str) -> Server:
    """Return the server that ``MLFLOW_TRACKING_URI`` names, after it has answered.

    Parameters
    ----------
    place : str
        The experiment in MLflow that takes the runs; made if there is none.

    Raises
    ------
    UserError
        There is no library, no address, no answer, or no access.
    """
    address = os.environ.get(ADDRESS, "")
    if not re.match(r"https?://[^/]", address):
        problem = f"is '{shown_address(address)}'; expected the http address of a server"
        action = f"export {ADDRESS}=https://mlflow.example.org"
        raise UserError("no-server", ADDRESS, problem if address else "is not set", action)
    ours = FIRST_CALL.keys() - os.environ
    os.environ.update({name: FIRST_CALL[name] for name in ours})
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    try:
        import mlflow
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "mlflow":
            raise
        raise UserError("not-installed", "mlflow", "is not installed", INSTALL) from None
    client = mlflow.MlflowClient(tracking_uri=address)
    server = Server(shown_address(address), mlflow, client, "")
    with telling(server):
        found = client.get_experiment_by_name(place)
        if found is not None and found.lifecycle_stage != "active":
            problem = f"the experiment '{place}' was deleted"
            raise UserError("deleted", server.address, problem, "restore it, or use --experiment")
        name = found.experiment_id if found else client.create_experiment(place)
    os.environ.update({name: LATER_CALLS[name] for name in ours})
    return server._replace(place=name)


def runs_of(server: Server, key: str, value: str) -> list:
    """Return the runs with a tag."""
    with telling(server):
        return list(server.client.search_runs([server.place], f"tags.`{key}` = '{value}'"))


def is_there(server: Server, named: Named, lock: str) -> bool:
    """Return whether the server has all of a result; a run that was cut short is deleted.

    An experiment is known by its commit. What is no experiment may have been committed or named
    since, and is known by its dvc.lock.
    """
    key, value = ("git.revision", named.revision) if named.experiment else ("dvc.lock", lock)
    runs = runs_of(server, key, value)
    for run in runs:
        if run.info.status != DONE:
            with telling(server):
                server.client.delete_run(run.info.run_id)
    return any(run.info.status == DONE for run in runs)


def send(server: Server, named: Named, result: Result, files: Path) -> list[str]:
    """Send a result, and return remarks. The run counts once all of it has arrived.

    Parameters
    ----------
    files : Path
        A folder with what becomes the run's artifacts.
    """
    client, entities, millis = server.client, server.mlflow.entities, 1000 * result.seconds
    tags = {"git.revision": named.revision, "dvc.lock": result.lock}
    tags |= {"mlflow.source.git.commit": named.revision.rstrip("+")}
    tags |= {"dvc.experiment": named.name} if named.experiment else {}
    tags |= {f"dvc.md5.{path.replace('/', '.')}": md5 for path, md5 in result.digests.items()}
    params, remarks = [], []
    for name, value in result.params.items():
        if len(value) > LONGEST_VALUE:
            remarks.append(f"{named.name}: {name} has {len(value):,} characters and was cut")
        params.append(entities.Param(name, value[:LONGEST_VALUE]))
    points = [(name, point) for name, curve in result.curves.items() for point in curve]
    points += [
        (name, (0, value)) for name, value in result.metrics.items() if name not in result.curves
    ]
    metrics = [entities.Metric(name, value, millis, step) for name, (step, value) in points]
    with telling(server):
        run = client.create_run(server.place, millis, tags, named.name).info.run_id
        for part in parts(params, PARAMS_AT_ONCE):
            client.log_batch(run, params=part)
        for part in parts(metrics, METRICS_AT_ONCE):
            client.log_batch(run, metrics=part)
        client.log_artifacts(run, str(files))
        client.set_terminated(run, DONE, millis)
    return remarks


def parts(items: list, size: int) -> list[list]:
    """Return a list in parts of at most `size`."""
    return [items[start : start + size] for start in range(0, len(items), size)]
