"""What DVC costs: experiments against their bare stages, and the store against its own client.

    python -m benchmarks.store [--experiments 50] [--files 2000]

Takes under six minutes. The experiments train the tiny model of the tests. The store is SeaweedFS
on this machine. Files of 0.5 MB go there and back by dvc, with several values of `jobs`, and by the
server's own client (`weed filer.copy` and `weed download`).
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from project import clone_project, environment, run, set_params
from s3_server import BUCKET, S3Server, add_remote, commit, dvc, git, login
from tiny_model import write_tiny_model

FILE_BYTES = 1 << 19
JOBS = (4, 8, 16, 32)


def seconds(work, *arguments) -> float:
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def check(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment(**login()), text=True, capture_output=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:4])}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return done.stdout


def show(what: str, measured: float, limit: str = "", note: str = "") -> None:
    print(f"{what:<48}{measured:>8.2f} s   {limit:<10}{note}", flush=True)


def bench_experiments(place: Path, experiments: int) -> None:
    write_tiny_model(place / "model")
    repository = clone_project(place / "repository", place / "model")
    dvc("repro", repository)
    commit(repository, "results")
    unchanged = [seconds(dvc, "repro", repository) for _ in range(5)]
    show("dvc repro, nothing changed (median of 5)", statistics.median(unchanged), "<= 1.0")

    whole = seconds(dvc, "exp run -S lora.r=4", repository)
    by_hand = place / "by-hand"
    shutil.copytree(repository, by_hand, ignore=shutil.ignore_patterns(".dvc", "models"))
    stages = [
        seconds(check, [sys.executable, "-m", f"stages.{name}"], by_hand)
        for name in ("train", "score", "evaluate")
    ]
    note = f"{whole:.2f} with dvc, {sum(stages):.2f} without"
    show("dvc exp run less train, score and evaluate", whole - sum(stages), "<= 3.0", note)

    for rank in range(100, 100 + experiments):
        set_params(repository, {"lora.r": rank})
        dvc(f"exp save -n rank{rank}", repository)
    listed = [seconds(dvc, "exp show --csv", repository) for _ in range(3)]
    count = len(re.findall(r"\brank\d{3}\b", dvc("exp list --name-only", repository)))
    show(f"dvc exp show, {count} experiments (median of 3)", statistics.median(listed), "<= 2.0")


def bench_store(place: Path, files: int) -> None:
    server = S3Server(place / "server")
    server.start()
    try:
        repository = place / "many"
        folder = repository / "data/many"
        folder.mkdir(parents=True)
        for i in range(files):
            (folder / f"{i:04}.bin").write_bytes(os.urandom(FILE_BYTES))
        git("init -q .", repository)
        dvc("init -q", repository)
        add_remote(repository, server.url, f"{BUCKET}/bench")
        show(f"dvc add, {files} files of 0.5 MB", seconds(dvc, "add -q data/many", repository))

        own = bench_own_client(server, folder, files, place / "fetched")
        show("weed filer.copy", own[0])
        show("weed download, two processes", own[1])
        cache = repository / ".dvc/cache"
        for jobs in JOBS:
            dvc(f"remote modify store url s3://{BUCKET}/jobs{jobs}", repository)
            pushed = seconds(dvc, f"push -q --jobs {jobs}", repository)
            show(f"dvc push --jobs {jobs}", pushed, note=f"{pushed / own[0]:.1f} x weed")
            cache.rename(place / "cache")
            shutil.rmtree(folder)
            pulled = seconds(dvc, f"pull -q --jobs {jobs}", repository)
            show(f"dvc pull --jobs {jobs}", pulled, note=f"{pulled / own[1]:.1f} x weed")
            assert len(list(folder.iterdir())) == files
            shutil.rmtree(cache)
            (place / "cache").rename(cache)
            server.delete(f"jobs{jobs}?recursive=true")
        default = 4 * (os.cpu_count() or 1)
        print(f"Without `jobs` dvc uses 4 for each core: {default} here.")
    finally:
        server.kill()


def bench_own_client(
    server: S3Server, folder: Path, files: int, target: Path
) -> tuple[float, float]:
    """Return the seconds of the server's own client, up and down, for the files of `folder`."""
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    up = seconds(
        check, [weed, "filer.copy", "-c", "8", str(folder), f"{server.filer}/own/"], folder
    )
    master = f"127.0.0.1:{server.ports['master']}"
    sent = check([weed, "upload", f"-master={master}", f"-dir={folder}"], folder)
    ids = re.findall(r'"fid":"([^"]+)"', sent)
    assert len(ids) == files
    target.mkdir()
    start = time.perf_counter()
    halves = [
        subprocess.Popen([weed, "download", f"-server={master}", f"-dir={target}", *ids[i::2]])
        for i in range(2)
    ]
    assert [half.wait() for half in halves] == [0, 0]
    return up, time.perf_counter() - start


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.store", description="What DVC and the store cost."
    )
    parser.add_argument("--experiments", type=int, default=50, help="experiments to list (50)")
    parser.add_argument("--files", type=int, default=2000, help="files to push and pull (2000)")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    cores = len(os.sched_getaffinity(0))
    version = run(["dvc", "--version"], Path(".")).stdout.strip()
    print(f"dvc {version}, {cores} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        bench_experiments(Path(folder) / "experiments", arguments.experiments)
        bench_store(Path(folder) / "store", arguments.files)


if __name__ == "__main__":
    main()
