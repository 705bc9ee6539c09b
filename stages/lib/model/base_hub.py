"""A base model from the Hugging Face hub."""

from pathlib import Path

from stages.lib.errors import UserError, first_line

_FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model", "*.jinja"]


def _refusal(error: Exception, name: str, revision: str) -> UserError:
    """Return what the user can do about an error of the hub's client."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    match error:
        case HFValidationError():
            code, problem = "no-base-model", f"{name} is not a hub id (owner/name)"
            action = "a local folder starts with ./ or /"
        case GatedRepoError():  # a RepositoryNotFoundError too
            code, problem = "no-base-model", f"{name} is gated"
            action = "accept its terms on the hub and set HF_TOKEN"
        case RevisionNotFoundError():
            return UserError(
                "no-base-model",
                "model.revision",
                f"{name} has no revision {revision}",
                "copy the commit from the model's page on the hub",
            )
        case RepositoryNotFoundError():
            code, problem = "no-base-model", f"the hub has no model {name}"
            action = "correct the name, or set HF_TOKEN if it is private"
        case LocalEntryNotFoundError():
            code = "failed-download"
            problem = f"{name} is not in the local cache and the hub cannot be reached"
            action = "connect, or name a local folder"
        case _:
            code, problem = "failed-download", f"{name}: download failed: {first_line(error)}"
            action = "run again to continue it"
    return UserError(code, "model.name", problem, action)


def fetch_from_hub(name: str, revision: str, trust_remote_code: bool) -> Path:
    """Return the folder in the hub's cache that has this revision, downloaded if need be.

    Raises
    ------
    UserError
        The model cannot be downloaded.
    """
    from huggingface_hub import snapshot_download

    patterns = [*_FILES, "*.py"] if trust_remote_code else _FILES
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except Exception as error:  # its own, the operating system's, the HTTP library's
        raise _refusal(error, name, revision) from None
