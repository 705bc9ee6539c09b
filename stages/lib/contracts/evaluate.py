"""What `evaluate` hands to `predict`: what was fitted on the validation rows."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from stages.lib.contracts.scores import EXPERTS

CALIBRATION = Path("models/evaluate/calibration.json")


class Calibration(BaseModel):
    """The content of the file.

    Attributes
    ----------
    models : dict of str to str
        SHA-256 of the manifests of ``models/train`` and ``models/classify``, by stage.
    weights : dict of str to float
        The weight of each expert's log-probabilities.
    confidence : list of float, length 3
        What makes the probability of the first account mean what it says.
    thresholds : dict of str to float or None
        The least probability that is posted, by name such as ``autopost95``; None: no probability
        was enough.
    certificate : list of (float, int, int)
        Falling thresholds, with the validation rows above each and how many of them are wrong.
        From these follows the threshold for any precision that is to be certain.
    rows_made_with : dict of str to object
        The parameters that shape a row, as ``section.key``.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    models: dict[str, str]
    weights: dict[str, Annotated[float, Field(ge=0)]]
    confidence: Annotated[list[float], Field(min_length=3, max_length=3)]
    thresholds: dict[str, Annotated[float, Field(gt=0, le=1)] | None]
    certificate: list[Annotated[list[float], Field(min_length=3, max_length=3)]]
    rows_made_with: dict[str, object]

    @field_validator("weights")
    @classmethod
    def _one_for_each_expert(cls, weights: dict[str, float]) -> dict[str, float]:
        if weights.keys() != set(EXPERTS):
            raise ValueError(f"expected one for each of {', '.join(EXPERTS)}")
        return weights
