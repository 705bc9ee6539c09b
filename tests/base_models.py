"""Parameters of base models, caches that tests may fill, and servers that stop half-way."""

import http.server
import socket
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

from stages.lib.params.model import ModelParams


def model_params(
    name, revision=None, trust_remote_code=False, dtype="float32", quantize="none"
) -> ModelParams:
    return ModelParams(
        name=str(name),
        revision=revision,
        trust_remote_code=trust_remote_code,
        dtype=dtype,
        quantize=quantize,
    )


def kept(folder: Path) -> list[str]:
    """Return the names of the files below `folder`, lock files aside."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.name for path in found if path.suffix != ".lock")


def closed_port() -> int:
    """Return a port of this machine on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def serve(handler):
    """Yield the address of an HTTP server with this handler."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def stop_halfway(handler, content: bytes) -> None:
    """Send half of `content`, set ``handler.stalled``, and wait until the client is gone."""
    handler.wfile.write(content[: len(content) // 2])
    handler.wfile.flush()
    handler.stalled.set()
    with suppress(ConnectionError):
        handler.connection.recv(1)
    handler.close_connection = True


# Resolve the base model of the arguments, in a process that a test may kill.
RESOLVE = """
import sys
from base_models import model_params
from stages.lib.model.base_model import resolve_base_model
from stages.lib.process import run_stage
run_stage(lambda: print("FOLDER", resolve_base_model(model_params(*sys.argv[1:]))))
"""
