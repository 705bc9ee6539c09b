"""What a report is about: ledger, period, rows, and digests of data and model."""

from pathlib import Path, PurePath

import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.checksums import file_sha256
from stages.lib.contracts.names import DATE


def plain_name(path: str) -> str:
    """Return a path; of an absolute one, which differs from machine to machine, its end."""
    return PurePath(path).name if PurePath(path).is_absolute() else path


def ledger_facts(sides: dict[str, pa.Table], source: str) -> dict[str, object]:
    """Return where the rows of the split are from, how many there are, and of which days.

    Parameters
    ----------
    sides : dict of Table
        The rows of ``train``, ``val`` and ``test``.
    source : str
        ``ingest.source``.

    Returns
    -------
    dict
        ``source``, ``rows``, ``val_rows``, ``first`` and ``last`` day (None: there are no dates),
        and ``files``: the same of each file, with its ``name``.
    """
    columns = ["source_file", DATE]
    tables = [
        table.select(columns).set_column(0, "source_file", table["source_file"].cast(pa.string()))
        for table in sides.values()
    ]
    rows = pa.concat_tables(tables)
    grouped = rows.group_by("source_file").aggregate(
        [(DATE, "min"), (DATE, "max"), ([], "count_all")]
    )
    files = [
        {
            "name": plain_name(row["source_file"]),
            "rows": row["count_all"],
            "first": row[f"{DATE}_min"],
            "last": row[f"{DATE}_max"],
        }
        for row in grouped.sort_by("source_file").to_pylist()
    ]
    days = pc.min_max(rows[DATE]).as_py()
    return {
        "source": plain_name(source),
        "rows": rows.num_rows,
        "val_rows": sides["val"].num_rows,
        "first": days["min"],
        "last": days["max"],
        "files": files,
    }


def digests_of(paths: list[Path], models: dict[str, str]) -> dict[str, str]:
    """Return the SHA-256 of each file, and of the manifests of the models, by path.

    Parameters
    ----------
    paths : list of Path
    models : dict of {stage: str}
        As `inputs.Experts` has them.
    """
    found = {path.as_posix(): file_sha256(path) for path in paths}
    return found | {f"models/{stage}/manifest.json": digest for stage, digest in models.items()}
