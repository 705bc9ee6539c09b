"""What `train` hands to `score` and `predict`: the trained model; and its curves to `evaluate`."""

from pathlib import Path

# Adapter or weights, the label map, and a manifest with the sha256 of each file.
MODEL = Path("models/train")
METRICS = Path("metrics/train")
CURVES = METRICS / "plots/metrics"
