"""Mask the personal data of a ledger: in its columns, in refused rows, in names of files."""

from collections import Counter

import numpy as np
import pyarrow as pa

from stages.lib.contracts.names import MASKED
from stages.lib.ledger.content import AMOUNT
from stages.lib.ledger.privacy import mask_cells, mask_personal
from stages.lib.params.ingest import IngestParams
from stages.lib.tables import row_digests


def mask_columns(
    columns: dict[str, pa.Array], params: IngestParams, key: bytes
) -> tuple[dict[str, pa.Array], Counter]:
    """Mask the personal data in the columns of a ledger.

    Cells that fit the pattern of their column are not masked. Without a pattern, accounts are not,
    nor is what looks like an amount in a column of amounts.

    Parameters
    ----------
    columns : dict of str to pa.Array
        Strings.
    key : bytes
        Of the digests, 64 bytes at most.

    Returns
    -------
    columns : dict of str to pa.Array
        The masked columns, then `MASKED`: a digest of each row that was changed, "" for the others.
    counts : Counter
        How many cells were masked, by (column, kind).
    """
    spared = {params.label: ".*", **params.patterns}
    hidden, counts = {}, Counter()
    changed = np.zeros(len(columns[params.label]), bool)
    for name, cells in columns.items():
        spare = spared.get(name, AMOUNT if params.columns[name].role == "amount" else None)
        hidden[name], here, found = mask_cells(cells, params.mask, spare)
        changed |= here.to_numpy(zero_copy_only=False)
        counts.update({(name, kind): n for kind, n in found.items()})
    raw = pa.table({name: cells.filter(pa.array(changed)) for name, cells in columns.items()})
    digests = np.full(len(changed), "", object)
    digests[changed] = [d.tobytes().hex() for d in row_digests(raw, raw.column_names, key)]
    return {**hidden, MASKED: pa.array(digests, pa.string())}, counts


def mask_lists(cells: list[list[str]], params: IngestParams) -> pa.Array:
    """Return lists of cells with personal data masked."""
    lists = pa.array(cells, pa.list_(pa.string()))
    return pa.ListArray.from_arrays(lists.offsets, mask_cells(lists.flatten(), params.mask)[0])


def mask_name(name: str, place: int, params: IngestParams) -> str:
    """Return the name of a file or sheet with personal data masked.

    A masked name ends with `place`, its number in the order of reading, because others may look the
    same.
    """
    masked = mask_personal(name, params.mask)[0]
    return name if masked == name else f"{masked} ({place})"
