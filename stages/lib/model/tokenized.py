"""Read the datasets that `tokenize` writes."""

import datasets

from stages.lib.contracts.tokenize import FOLDER
from stages.lib.errors import UserError, first_line


def load_side(side: str) -> datasets.Dataset:
    """Return the dataset of one side of the split.

    Raises
    ------
    UserError
        The dataset is missing or damaged.
    """
    folder = FOLDER / side
    if not folder.is_dir():
        raise UserError("file-not-found", folder, "not found", "build it with 'dvc repro tokenize'")
    try:
        # In memory: a mapped dataset would write caches beside its files, which are a DVC output.
        return datasets.load_from_disk(str(folder), keep_in_memory=True)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            "damaged-file",
            folder,
            f"cannot be read: {first_line(error)}",
            "delete it and rebuild it with 'dvc repro tokenize', or fetch it with "
            "'dvc pull tokenize'",
        ) from None
