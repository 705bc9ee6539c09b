"""What `evaluate` hands to `predict`: what was fitted on the validation rows."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

CALIBRATION = Path("data/evaluate/calibration.json")


class Calibration(BaseModel):
    """The content of the file.

    Attributes
    ----------
    model : str
        SHA-256 of the manifest of the model.
    temperature : float
        What its logits are divided by.
    thresholds : dict of str to float or None
        The least probability that is posted, by name such as ``autopost95``; None: no probability
        was enough.
    rows_made_with : dict of str to object
        The parameters that shape a row, as ``section.key``.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    model: str
    temperature: float = Field(gt=0)
    thresholds: dict[str, Annotated[float, Field(gt=0, le=1)] | None]
    rows_made_with: dict[str, object]
