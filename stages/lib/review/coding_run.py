"""Code files of new rows into one sheet: read, code part by part, write, and note what made it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import NamedTuple

import pyarrow as pa

from stages.lib.checksums import digests_of
from stages.lib.coding import Coder, code_base, load_coder
from stages.lib.errors import UserError
from stages.lib.evaluation.certificate import certified_threshold
from stages.lib.ledger.cleaning_report import Tally
from stages.lib.ledger.new_rows import (
    Spooled,
    find_new_files,
    read_new_parts,
    spool_new_rows,
)
from stages.lib.review.audit import make_audit, write_audit
from stages.lib.review.batches import (
    Inputs,
    coded_batch,
    find_inputs,
    given_accounts,
    input_columns,
    proposals_of,
    refuse_coded_sheets,
)
from stages.lib.review.columns import Layout, own_schema
from stages.lib.review.corrections import PATH
from stages.lib.review.decisions import reasons_to_review
from stages.lib.review.words import load_words
from stages.lib.review.writing import check_size, review_writer


class Done(NamedTuple):
    """What became of the rows.

    Attributes
    ----------
    counts : Counter of str
        Rows by decision.
    rows : int
    threshold : float or None
        The least probability that was posted.
    remarks : list of str
        What the user should know.
    """

    counts: Counter
    rows: int
    threshold: float | None
    remarks: list[str]


def code_files(
    sources: Sequence[str],
    out: Path,
    params: SimpleNamespace,
    models: Path,
    posted: Sequence[str] = (),
    chart: str | None = None,
) -> Done:
    """Code the rows of files into `out`, which appears whole or not at all.

    Parameters
    ----------
    sources : sequence of str
        Files and folders of new rows.
    out : Path
        Ends in .xlsx, .csv or .parquet; its audit file is written beside it.
    params : SimpleNamespace
        The sections ``ingest``, ``preprocess``, ``feature``, ``score``, ``model``, ``predict``.
    models : Path
        The folder with the models, in one folder a stage.
    posted : sequence of str
        Files and folders of rows that were posted since the training.
    chart : str or None
        A file with the accounts that may be proposed.

    Raises
    ------
    UserError
        Something cannot be read or written, or does not belong together.
    """
    predict, words = params.predict, load_words(params.predict.language)
    coder, remarks = load_coder(models, params, posted, chart)
    threshold = certified_threshold(coder.calibration.certificate, predict.precision)
    if threshold is None:
        remarks.append(
            f"no row is posted: {predict.precision:.1%} are not certain for any threshold"
        )
    with TemporaryDirectory(prefix=f"{out.name}.", suffix=".partial", dir=out.parent) as folder:
        spooled = read_new_files(sources, params, Path(folder))
        inputs = find_inputs(spooled, params.ingest, params.feature, words)
        columns = len(inputs.schema) + len(own_schema(params.feature.fields))
        check_size(out, spooled.rows, columns)
        chart_shown = [(code, coder.names.get(code, "")) for code in allowed_codes(coder)]
        layout = Layout(inputs.schema, params.feature.fields, chart_shown)
        said_files = [path for path in map(Path, (*posted, PATH)) if path.is_file()]
        audit = make_audit(
            spooled.digests,
            digests_of(said_files),
            models,
            shown_parameters(params),
            {"posted": threshold, **coder.calibration.thresholds},
        )
        tally = Tally()
        with review_writer(out, layout, words) as review:
            for batch in coded_batches(spooled, inputs, coder, params, threshold, tally):
                review.write(batch)
            review.finish(summary_of(audit, predict.precision, threshold))
    counts = {decision: review.totals.of(None, decision)[0] for decision in words["decisions"]}
    try:
        write_audit(audit, out, counts)
    except UserError:
        out.unlink()  # without its audit file it says nothing of what made it
        raise
    remarks += [*unknown_accounts(coder, predict.review.accounts)]
    remarks += [*spooled.remarks, *tally.report().get("remarks", [])]
    if review.cut:
        remarks.append(f"{out}: {review.cut:,} texts are longer than a cell can be, and were cut")
    return Done(Counter(counts), review.rows, threshold, remarks)


def shown_parameters(params: SimpleNamespace) -> dict[str, dict]:
    """Return the parameters by section, without the ledger's path, which is that of a machine."""
    sections = {name: section.model_dump() for name, section in vars(params).items()}
    del sections["ingest"]["source"]
    return sections


def read_new_files(sources: Sequence[str], params: SimpleNamespace, folder: Path) -> Spooled:
    """Return the rows of new files, spooled in `folder`.

    Raises
    ------
    UserError
        As `spool_new_rows`; ``coded-sheet``: a file is a sheet that was coded before.
    """
    try:
        return spool_new_rows(sources, params, folder)
    except UserError:
        # Its other sheets have no transactions, so it may fail before its titles are seen.
        paths = [path for path, _ in find_new_files(sources, params.ingest.files).files]
        refuse_coded_sheets(paths, params.feature.fields)
        raise


def allowed_codes(coder: Coder) -> list[str]:
    """Return the accounts that may be proposed, in their order."""
    pairs = zip(coder.accounts, coder.allowed.tolist(), strict=True)
    return sorted(code for code, is_allowed in pairs if is_allowed)


def unknown_accounts(coder: Coder, listed: Sequence[str]) -> list[str]:
    """Return a line if accounts that are always reviewed are none that can be proposed."""
    unknown = sorted(set(listed) - set(coder.accounts))
    if not unknown:
        return []
    return [f"predict.review.accounts: the model has no account {', '.join(unknown)}"]


def coded_batches(
    spooled: Spooled,
    inputs: Inputs,
    coder: Coder,
    params: SimpleNamespace,
    threshold: float | None,
    tally: Tally,
) -> Iterator[pa.Table]:
    """Yield the rows of each part as the review sheet has them."""
    fields, predict = params.feature.fields, params.predict
    parts = read_new_parts(spooled, params, tally)
    for part, places in zip(parts, spooled.places, strict=True):
        columns = input_columns(part, places, len(inputs.schema))
        given = given_accounts(part, columns, inputs, params.preprocess.labels)
        coded = code_base(coder, part.base)
        proposals = proposals_of(part, coded, coder, given, fields)
        reasons = reasons_to_review(
            proposals, threshold, predict.precision, coder.trained_rows, predict.review
        )
        yield coded_batch(part, columns, inputs, proposals, coded, reasons, coder, fields)


def summary_of(audit: dict, precision: float, threshold: float | None) -> list[tuple[str, object]]:
    """Return what made the sheet, for its third sheet."""
    pairs = [("precision", precision), ("threshold", threshold if threshold is not None else "")]
    pairs += [(entry["name"], entry["sha256"]) for entry in (*audit["inputs"], *audit["said"])]
    pairs += [(f"models/{stage}", digest) for stage, digest in audit["models"].items()]
    pairs += [(f"base model: {key}", value) for key, value in audit["base_model"].items() if value]
    pairs += [("git commit", audit["git_commit"] or "")]
    return pairs + list(audit["versions"].items())
