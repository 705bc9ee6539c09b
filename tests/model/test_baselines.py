"""The baselines come in order, each with scores of the validation and test rows."""

import numpy as np
import pyarrow as pa

from stages.lib.model.baselines import score_baselines
from stages.lib.params.baseline import BaselineParams

PARAMS = BaselineParams(
    max_train_rows=None,
    lookup_columns=None,
    character_fields=None,
    word_ngrams=2,
    character_ngrams=4,
    regularization=1.0,
)


def rows(shop: list[str]) -> pa.Table:
    return pa.table({"shop": shop, "group": shop})


def test_each_baseline_scores_validation_and_test():
    sides = {
        "train": rows(["esso", "esso", "ymca", "esso"]),
        "val": rows(["ymca"]),
        "test": rows(["esso", "ymca"]),
    }
    found = dict(
        score_baselines(sides, np.array([1, 1, 0, 1]), 2, ["shop"], {"shop": "group"}, PARAMS)
    )
    assert list(found) == ["majority", "lookup", "tfidf_words", "tfidf_chars"]
    for name, (val, test) in found.items():
        assert (val.shape, test.shape, test.dtype) == ((1, 2), (2, 2), np.float32), name
        expected = [1, 1] if name == "majority" else [1, 0]
        assert test.argmax(axis=1).tolist() == expected, name
