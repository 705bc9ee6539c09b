"""The sections of the parameter files that coding new rows reads."""

from stages.lib.params.feature import FeatureParams
from stages.lib.params.ingest import IngestParams
from stages.lib.params.model import ModelTrust
from stages.lib.params.predict import PredictParams
from stages.lib.params.preprocess import PreprocessParams
from stages.lib.params.score import ScoreParams

SECTIONS = {
    "ingest": IngestParams,
    "preprocess": PreprocessParams,
    "feature": FeatureParams,
    "score": ScoreParams,
    "model": ModelTrust,
    "predict": PredictParams,
}
