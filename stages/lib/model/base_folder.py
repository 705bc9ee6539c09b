"""A base model in a local folder, and the parts that every folder of a model needs."""

import json
import os
from pathlib import Path

from stages.lib.checksums import folder_sha256
from stages.lib.errors import UserError


def check_parts(name: str, folder: Path) -> None:
    """Raise a UserError unless `folder` has a configuration, a tokenizer and all its weights.

    Parameters
    ----------
    name : str
        The model's name in the parameters.
    folder : Path
    """

    def incomplete(problem: str, action: str) -> UserError:
        return UserError("incomplete-base-model", "model.name", f"{name} {problem}", action)

    if not (folder / "config.json").is_file():
        raise incomplete("has no config.json", "name the folder or repository of a model")
    if not (folder / "tokenizer.json").is_file():
        raise incomplete(
            "has no tokenizer (expected tokenizer.json)",
            "save the model's tokenizer there with save_pretrained",
        )
    if not list(folder.glob("*.safetensors")):
        raise incomplete(
            "has no *.safetensors weights",
            "save the model there with save_pretrained (pickled weights are not read)",
        )
    for index in folder.glob("*.safetensors.index.json"):
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if lacking := sorted(shard for shard in shards if not (folder / shard).is_file()):
            raise incomplete(
                f"lacks {', '.join(lacking)}, which {index.name} names", "copy all files of it"
            )


def find_folder(name: str, revision: str | None) -> Path:
    """Return the folder `name`, after checking that it has the bytes that `revision` pins.

    Raises
    ------
    UserError
        There is no such folder, or it has other bytes.
    """
    # A queued experiment runs in a copy of the repository that has only what git has.
    folder = Path(os.environ.get("DVC_ROOT", ""), name)
    if not folder.is_dir():
        raise UserError(
            "no-base-model", "model.name", f"no folder {name}", "for a hub id write owner/name"
        )
    if revision is not None and (found := folder_sha256(folder)) != revision:
        raise UserError(
            "changed-base-model",
            "model.revision",
            f"the files of {name} have sha256 {found}, expected {revision}",
            "restore them, or set model.revision to null and train again",
        )
    return folder
