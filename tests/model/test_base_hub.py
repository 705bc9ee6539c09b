"""A base model from the hub, against a server that answers as the hub does."""

import hashlib
import http.server
import json
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import huggingface_hub
import pytest
from base_models import RESOLVE, closed_port, serve, stop_halfway
from project import ROOT, environment
from refusals import refused

from stages.lib.model.base_folder import check_parts
from stages.lib.model.base_hub import fetch_from_hub

REVISION = "1cfa9a7208912126459214e8b04321603b3df60c"


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the hub does, for one repository `owner/tiny` with one revision."""

    files: dict[str, bytes]
    requests: list[str]
    stall_at: str | None = None  # this file stops in the middle
    stalled: threading.Event

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.split("?")[0]
        self.requests.append(f"{self.command} {path}")
        if "owner/tiny" not in path:
            return self.fail(404, "RepoNotFound", "Repository not found")
        if REVISION not in path:
            return self.fail(404, "RevisionNotFound", "Invalid rev id")
        if path == f"/api/models/owner/tiny/tree/{REVISION}":
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": file_id(content)}
                for name, content in self.files.items()
            ]
            return self.send(json.dumps(tree).encode(), "application/json")
        name = path.rpartition("/")[2]
        return self.send(self.files[name], "application/octet-stream", name)

    def send(self, content: bytes, kind: str, name: str | None = None):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("ETag", f'"{file_id(content)}"')
        self.end_headers()
        if self.command == "HEAD":
            return
        if name and name == type(self).stall_at:
            return stop_halfway(self, content)
        self.wfile.write(content)

    def fail(self, status: int, code: str, text: str):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", text)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


def file_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@pytest.fixture
def hub(tiny_model):
    """Yield the handler and the address of a hub that has the tiny model."""

    class Handler(Hub):
        files = {path.name: path.read_bytes() for path in sorted(tiny_model.iterdir())}  # noqa: RUF012
        requests = []  # noqa: RUF012
        stalled = threading.Event()

    Handler.files["pytorch_model.bin"] = b"pickled"
    Handler.files["modeling_tiny.py"] = b"x = 1\n"
    with serve(Handler) as address:
        yield Handler, address


@pytest.fixture
def fetch(monkeypatch, tmp_path):
    """Return `fetch_from_hub` for a hub at an address, with a cache of its own."""
    download = huggingface_hub.snapshot_download
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between the client's tries

    def fetch(name: str, revision: str, address: str, trust_remote_code: bool = False) -> Path:
        here = partial(download, endpoint=address, cache_dir=tmp_path / "hub")
        monkeypatch.setattr(huggingface_hub, "snapshot_download", here)
        return fetch_from_hub(name, revision, trust_remote_code)

    return fetch


def nowhere() -> str:
    return f"http://127.0.0.1:{closed_port()}"


def test_the_hub_gives_config_weights_and_tokenizer_of_the_revision(hub, fetch, tiny_model):
    folder = fetch("owner/tiny", REVISION, hub[1])
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert found == {path.name: path.read_bytes() for path in tiny_model.iterdir()}
    assert fetch("owner/tiny", REVISION, nowhere()) == folder  # once is enough


def test_code_of_the_model_is_downloaded_only_where_it_is_trusted(hub, fetch):
    folder = fetch("owner/tiny", REVISION, hub[1], trust_remote_code=True)
    assert (folder / "modeling_tiny.py").is_file()
    assert not (folder / "pytorch_model.bin").exists()


def test_a_revision_that_the_hub_lacks_is_refused(hub, fetch):
    with refused("no-base-model", "model.revision", "owner/tiny", "0" * 40):
        fetch("owner/tiny", "0" * 40, hub[1])


def test_a_model_that_the_hub_lacks_is_refused(hub, fetch):
    with refused("no-base-model", "model.name", "owner/none") as caught:
        fetch("owner/none", REVISION, hub[1])
    assert "\n" not in str(caught.value)


def test_a_model_whose_terms_are_not_accepted_is_refused(hub, fetch, monkeypatch):
    def refuse(handler):
        handler.fail(403, "GatedRepo", "Access to the model is restricted")

    monkeypatch.setattr(hub[0], "do_GET", refuse)
    with refused("no-base-model", "model.name", "owner/tiny", "HF_TOKEN"):
        fetch("owner/tiny", REVISION, hub[1])


def test_no_network_is_refused(fetch):
    with refused("failed-download", "model.name", "owner/tiny"):
        fetch("owner/tiny", REVISION, nowhere())


@pytest.mark.parametrize("name", ["a/b/c", "a b", "", "owner/"])
def test_a_name_of_no_form_is_refused(fetch, name):
    with refused("no-base-model", "model.name", f"{name} is not a hub id"):
        fetch(name, REVISION, nowhere())


@pytest.mark.slow
def test_a_killed_download_is_never_taken_for_the_model(hub, fetch, tiny_model, tmp_path):
    handler, address = hub
    handler.stall_at = "model.safetensors"
    process = subprocess.Popen(
        [sys.executable, "-c", RESOLVE, "owner/tiny", REVISION],
        cwd=ROOT,
        env=environment(
            HF_ENDPOINT=address,
            HF_HUB_CACHE=str(tmp_path / "hub"),
            HF_HUB_OFFLINE="0",
            PYTHONPATH=f"{ROOT}:{ROOT / 'tests'}",
        ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert handler.stalled.wait(60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list((tmp_path / "hub").glob("*/blobs/*.incomplete"))
    # In this process, whose client does not wait between its tries.
    with refused("failed-download", "model.name", "owner/tiny"):
        fetch("owner/tiny", REVISION, nowhere())

    handler.stall_at = None
    folder = fetch("owner/tiny", REVISION, address)
    check_parts("owner/tiny", folder)
    weights = (tiny_model / "model.safetensors").read_bytes()
    assert (folder / "model.safetensors").read_bytes() == weights
