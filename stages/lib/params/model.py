"""Parameters of the section ``model``: the base model, and what pins its bytes."""

import re
from typing import Literal

from pydantic import model_validator

from stages.lib.params.section import PartOfSection, Section


class ModelParams(Section):
    name: str
    revision: str | None
    trust_remote_code: bool
    dtype: Literal["float32", "bfloat16"]
    quantize: Literal["none", "nf4"]

    @model_validator(mode="after")
    def _revision_fits_name(self) -> "ModelParams":
        if self.is_folder:
            kind, fits = "the folder", self.revision is None or _is_hex(self.revision, 64)
            expected = "null, or the sha256 of its files (64 hex digits)"
        elif self.is_package:
            kind, fits = "the package", _is_hex(self.revision, 64)
            expected = "the sha256 of its wheel (64 hex digits)"
        else:
            kind, fits = "the hub id", _is_hex(self.revision, 40)
            expected = "a commit (40 hex digits, not a branch: a branch moves)"
        if not fits:
            raise ValueError(
                f"revision: for {kind} {self.name} expected {expected}, got {self.revision!r}"
            )
        return self

    @property
    def is_folder(self) -> bool:
        """Whether `name` is the path of a local folder."""
        return self.name.startswith((".", "/"))

    @property
    def is_package(self) -> bool:
        """Whether `name` is a Python package and its version."""
        return not self.is_folder and "==" in self.name


class ModelTrust(PartOfSection):
    """The one key of the section ``model`` that is not part of a trained model."""

    trust_remote_code: bool


def saved_base_model(noted: dict, trust_remote_code: bool) -> ModelParams:
    """Return the base model that the manifest of a trained model notes.

    Manifests of version 1.0 have no key ``quantize``: there was nothing but ``none``.
    """
    return ModelParams(**{"quantize": "none", **noted}, trust_remote_code=trust_remote_code)


def _is_hex(text: str | None, digits: int) -> bool:
    return re.fullmatch(rf"[0-9a-f]{{{digits}}}", text or "") is not None
