"""A real S3 server on this machine (SeaweedFS), and the commands of a team that shares it."""

import ctypes
import json
import os
import random
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from project import ROOT, run

BUCKET = "ledger"
USERS = {
    "team": ("team-secret", ["Admin", "Read", "Write", "List", "Tagging"]),
    "reader": ("reader-secret", ["Read", "List"]),
}


GRPC = 10_000  # what SeaweedFS and its clients add to a port for the other protocol


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, nor on `GRPC` above them.

    They lie below those that outgoing connections take.
    """
    draw = random.Random(os.getpid() + time.monotonic_ns())
    ports: list[int] = []
    with ExitStack() as held:
        while len(ports) < count:
            port = draw.randrange(10_000, 20_000)
            try:
                for number in (port, port + GRPC):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", number))
            except OSError:
                continue
            ports.append(port)
    return ports


def die_with_parent() -> None:
    """Let the kernel end this process when its parent ends, even by kill -9 (Linux)."""
    pr_set_pdeathsig, sigkill = 1, 9
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, sigkill)


class S3Server:
    """One server with its data in `folder`; it can be killed and started again."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir(parents=True)
        self.ports = dict(zip(("master", "volume", "filer", "s3"), free_ports(4), strict=True))
        self.url = f"http://127.0.0.1:{self.ports['s3']}"
        self.filer = f"http://127.0.0.1:{self.ports['filer']}/buckets/{BUCKET}"
        identities = [
            {
                "name": name,
                "credentials": [{"accessKey": name, "secretKey": secret}],
                "actions": actions,
            }
            for name, (secret, actions) in USERS.items()
        ]
        (folder / "s3.json").write_text(json.dumps({"identities": identities}))

    def start(self) -> None:
        options = [f"-{name}.port={port}" for name, port in self.ports.items()]
        weed = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        command = [weed, "server", f"-dir={self.data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        command += ["-master.telemetry=false", "-master.electionTimeout=1s"]
        command += ["-master.volumeSizeLimitMB=128", "-volume.max=0"]
        command += ["-filer", "-s3", f"-s3.config={self.folder / 's3.json'}", *options]
        # As Amazon's: no bucket out of nothing.
        command += ["-s3.autoCreateBucket=false", "-s3.iam=false"]
        command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, preexec_fn=die_with_parent
            )
        deadline = time.monotonic() + 60
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError((self.folder / "log").read_text()[-2000:])
            time.sleep(0.05)

    def is_ready(self) -> bool:
        """Tell whether an object can be written, which makes the bucket, and S3 answers."""
        try:
            self.write("ready", b"yes")
            urllib.request.urlopen(self.url).close()
        except urllib.error.HTTPError as error:
            return error.code == 403  # S3 asks who we are
        except OSError:
            return False
        return True

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def read(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.filer}/{path}") as answer:
            return answer.read()

    def write(self, path: str, content: bytes, method: str = "PUT") -> None:
        request = urllib.request.Request(f"{self.filer}/{path}", data=content, method=method)
        urllib.request.urlopen(request).close()

    def delete(self, path: str) -> None:
        self.write(path, b"", "DELETE")

    def entries(self, path: str) -> list[str]:
        """Return the names in the folder `path`; none if it is missing."""
        request = urllib.request.Request(f"{self.filer}/{path}/?limit=10000")
        request.add_header("Accept", "application/json")
        try:
            with urllib.request.urlopen(request) as answer:
                found = json.load(answer)["Entries"] or []
        except urllib.error.HTTPError:
            return []
        return [entry["FullPath"].rpartition("/")[2] for entry in found]


def login(user: str = "team", secret: str | None = None) -> dict[str, str]:
    """Return the environment of `user`: these keys, and nothing from this machine's AWS files."""
    secret = secret or USERS[user][0]
    return {
        "AWS_ACCESS_KEY_ID": user,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_MAX_ATTEMPTS": "2",
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }


def attempt(command: str, repository: Path, **extra: str) -> subprocess.CompletedProcess:
    """Run ``dvc COMMAND``, however it ends; DVC's own notes lie beside the repository."""
    notes = {"DVC_SITE_CACHE_DIR": str(repository.parent / f"{repository.name}-dvc")}
    return run(["dvc", *shlex.split(command)], repository, **{**notes, **login(), **extra})


def dvc(command: str, repository: Path, **extra: str) -> str:
    done = attempt(command, repository, **extra)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def git(command: str, repository: Path) -> str:
    done = run(["git", *shlex.split(command)], repository)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def documented_lines(page: str, start: str) -> list[str]:
    """Return the lines of shell in ``docs/PAGE.md`` that begin with `start`, without remarks."""
    text = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"^```sh\n(.*?)^```", text, re.S | re.M))
    lines = blocks.replace("\\\n", " ").splitlines()
    return [line.partition("  #")[0].strip() for line in lines if line.startswith(start)]


def add_remote(repository: Path, url: str, path: str) -> None:
    """Add the store as the documentation says, at this server."""
    for line in documented_lines("storage", "dvc remote"):
        dvc(line.removeprefix("dvc ").replace("BUCKET/PATH", path), repository)
    dvc(f"remote modify store endpointurl {url}", repository)


def commit(repository: Path, message: str) -> None:
    git("add -A", repository)
    git(f"commit -qm '{message}'", repository)
