"""Read a ledger: files as they are become one table of transactions and one of rejects.

Both functions here do the same. `read_parts` yields the tables part by part, so memory is bounded
whatever the size of the ledger; `read_ledger` returns them whole.
"""

from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from stages.lib.contracts.ingest import REJECTS_SCHEMA, transactions_schema
from stages.lib.errors import UserError
from stages.lib.ledger import text_files
from stages.lib.ledger.cells import Records, cell_text
from stages.lib.ledger.columns import without_labels
from stages.lib.ledger.csv_records import read_records
from stages.lib.ledger.day_counts import show_days
from stages.lib.ledger.dialect import find_dialect
from stages.lib.ledger.encodings import find_encoding
from stages.lib.ledger.headers import HINT_ROWS, NO_LAYOUT, Layout, find_layout
from stages.lib.ledger.masking import mask_name
from stages.lib.ledger.parquet_files import (
    batch_records,
    column_names,
    has_page_checksums,
    read_batches,
)
from stages.lib.ledger.reading_report import Seen, check_and_report
from stages.lib.ledger.reasons import HIDDEN_ROW, HIDDEN_SHEET
from stages.lib.ledger.sheets import Sheet
from stages.lib.ledger.sorting import Part, sort_rows
from stages.lib.ledger.source import (
    Source,
    content_digest,
    file_kind,
    file_size,
    find_files,
    fits,
    unchanged_files,
)
from stages.lib.ledger.text_files import Block, text_blocks
from stages.lib.ledger.workbooks import BookSheet, may_kill_its_reader, workbook_sheets
from stages.lib.parallel import cores, map_ordered
from stages.lib.params.ingest import IngestParams, Reading

SAMPLE_CHARS = 200_000
# Below this, starting a second process costs more than it saves.
PARALLEL_BYTES = 16_000_000
CHUNK_ROWS = 50_000


class Ledger(NamedTuple):
    """A ledger in memory.

    Attributes
    ----------
    transactions, rejects : pa.Table
        As in `stages.lib.contracts.ingest`.
    report : dict
        What was found and guessed, sheet by sheet, and how many rows there are of each kind.
    remarks : list of str
        What a user should look at, one line each.
    """

    transactions: pa.Table
    rejects: pa.Table
    report: dict
    remarks: list[str]


def read_ledger(
    params: IngestParams, *, has_labels: bool = True, optional: Collection[str] = ()
) -> Ledger:
    """Return the ledger in the files of ``params.source``.

    Large ledgers are read by several processes, so a script that calls this needs the usual
    ``if __name__ == "__main__"``.

    Parameters
    ----------
    params : IngestParams
    has_labels : bool
        False for new rows, which have no account yet: see `without_labels`. Then a row is no total
        only because it has no account.
    optional : collection of str
        Columns that no file needs to have.

    Raises
    ------
    UserError
        The files cannot be read, or are not what `params` say.
    """
    params = params if has_labels else without_labels(params)
    seen, parts = Seen(), []
    with unchanged_files(partial(find_files, params.source, params.files)) as source:
        for part in read_parts(source, params, has_labels):
            seen.add(part)
            parts.append(part)
    report = check_and_report(seen, source.left_out, params, optional)
    schemas = transactions_schema(params.roles), REJECTS_SCHEMA
    transactions, rejects = (
        pa.concat_tables([schema.empty_table(), *(part[i] for part in parts)]).unify_dictionaries()
        for i, schema in enumerate(schemas)
    )
    return Ledger(transactions, rejects, report, report.get("remarks", []))


def read_parts(
    source: Source,
    params: IngestParams,
    has_labels: bool = True,
    progress: Callable[[int], object] = lambda size: None,
    keep_cells: bool = False,
) -> Iterator[Part]:
    """Yield the rows of the files of `source`, in order, part by part.

    Parameters
    ----------
    source : Source
    params : IngestParams
    has_labels : bool
        Transactions have labels.
    progress : callable
        Takes the number of bytes that were read since the last call.
    keep_cells : bool
        The parts also have the cells of all rows.

    Raises
    ------
    UserError
        The files cannot be read, or are not what `params` say.
    """
    paths = [path for path, _ in source.files]
    workers = cores() if source.size > PARALLEL_BYTES else 1
    if any(map(may_kill_its_reader, paths)):
        workers = max(2, workers)  # if another process dies, this one can say so
    kinds = list(map(file_kind, paths))
    sort = partial(
        sort_rows,
        params=params,
        key=content_digest(paths),
        has_labels=has_labels,
        keep_cells=keep_cells,
    )
    read = partial(_read_task, sort=sort, params=params)
    # A worker reads its block as if it began with a new record. Where the block before it ended
    # inside of a record, it is read again here, together with what was left of that one.
    rest = None
    tasks = _find_tasks(source, kinds, params)
    for task, (parts, left) in map_ordered(read, tasks, workers, lambda task: str(task.path)):
        if rest:
            parts, left = read(task._replace(content=_joined(rest, task)))
        rest = left
        yield from parts
        progress(task.size)


class _Task(NamedTuple):
    """Something to read, for one worker.

    Attributes
    ----------
    sheet : Sheet
        What the rows are from. A workbook's sheets, which are one task, are found by the worker.
    content : Block, or (int, pa.RecordBatch), or None
        Of a text file; of a parquet file, with the number of its first row; of a workbook.
    size : int
        Bytes that it has in its file.
    is_last : bool
        Nothing of the file follows.
    """

    path: Path
    sheet: Sheet
    reading: Reading
    content: Block | tuple[int, pa.RecordBatch] | None
    size: int
    is_last: bool = True


def _find_tasks(source: Source, kinds: list[str], params: IngestParams) -> Iterator[_Task]:
    for place, ((path, name), kind) in enumerate(zip(source.files, kinds, strict=True), start=1):
        reading = next((r for r in params.reading if fits(name, r.match)), None)
        if reading is None:
            raise UserError(
                "file-not-matched",
                path,
                "no entry of ingest.reading matches it",
                "end ingest.reading with an entry that has match: '*'",
            )
        name = mask_name(name, place, params)
        if kind == "text":
            yield from _text_tasks(path, name, reading, params)
        elif kind == "parquet":
            yield from _parquet_tasks(path, name, reading, params)
        else:
            yield _Task(path, Sheet(name, "", NO_LAYOUT), reading, None, file_size(path))


def _text_tasks(path: Path, name: str, reading: Reading, params: IngestParams) -> Iterator[_Task]:
    encoding = reading.encoding
    if encoding == "auto":
        encoding = find_encoding(path, params.mask)
    sample = next(text_blocks(path, encoding, reading.line_end, SAMPLE_CHARS), Block("", 1, 0))
    if not sample.text.strip():
        raise UserError(
            "file-empty", path, "is empty", "write it again, or leave it out of ingest.files"
        )
    try:
        dialect, layout = find_dialect(str(path), sample, encoding, reading, params)
    except UserError as error:
        if error.code == "header-not-found" and reading.encoding != "auto":
            _refuse_encoding(path, reading, params)
        raise
    sheet = Sheet(name, "", layout, dialect)
    # A cell that is filled from above may find its value anywhere above.
    chars = -1 if params.depends_on_rows_above else text_files.BLOCK_CHARS
    start, block = 0, Block("", 1, 0)
    for following in chain(text_blocks(path, encoding, reading.line_end, chars), [None]):
        size, start = block.end - start, block.end
        if block.text or following is None:
            yield _Task(path, sheet, reading, block, size, following is None)
        block = following


def _refuse_encoding(path: Path, reading: Reading, params: IngestParams) -> None:
    """Raise UserError if the header is found in another encoding than the given one."""
    try:
        found = find_encoding(path)
        sample = next(text_blocks(path, found, reading.line_end, SAMPLE_CHARS))
        find_dialect(str(path), sample, found, reading, params)
    except (UserError, StopIteration):
        return
    raise UserError(
        "header-not-found",
        path,
        f"ingest.reading has encoding {reading.encoding} for it, in which no row names the "
        f"required columns; in {found} one does",
        "set encoding: auto, or give the file an entry of its own in ingest.reading, before the "
        "one that now applies",
    )


def _parquet_tasks(
    path: Path, name: str, reading: Reading, params: IngestParams
) -> Iterator[_Task]:
    names, rows = column_names(path)
    layout = find_layout(str(path), [names], reading, params)._replace(header_row=0)
    sheet = Sheet(name, "", layout, has_checksums=has_page_checksums(path))
    first = 1
    for batch in read_batches(path, None if params.depends_on_rows_above else CHUNK_ROWS):
        size = file_size(path) * len(batch) // max(1, rows)
        yield _Task(path, sheet, reading, (first, batch), size)
        first += len(batch)


def _joined(rest: Block, task: _Task) -> Block:
    if len(rest.text) > text_files.LONGEST_RECORD_CHARS:
        raise UserError(
            "quote-open",
            f"{task.path}, line {rest.line}",
            "a quote opens here and is not closed within "
            f"{text_files.LONGEST_RECORD_CHARS:,} characters",
            "set quote: none in ingest.reading",
        )
    return Block(rest.text + task.content.text, rest.line, task.content.end)


def _read_task(
    task: _Task, sort: Callable[..., Part], params: IngestParams
) -> tuple[list[Part], Block | None]:
    """Return the sorted rows of a task, and the text that belongs to the next one."""
    if task.content is None:
        return list(_book_parts(task, sort, params)), None
    if isinstance(task.content, Block):
        records, rest = read_records(task.content, task.sheet.dialect, task.is_last)
    else:
        first, batch = task.content
        used, rest = set(task.sheet.layout.places.values()), None
        records = batch_records(task.path, batch, first, used)
    return [sort(records, task.sheet, task.reading)], rest


def _is_blank(row: list) -> bool:
    return not any(cell_text(cell).strip() for cell in row)


def _book_parts(task: _Task, sort: Callable[..., Part], params: IngestParams) -> Iterator[Part]:
    sheets = workbook_sheets(task.path, task.reading.sheets)
    for place, book_sheet in enumerate(sheets, start=1):
        name, rows = mask_name(book_sheet.name, place, params), book_sheet.rows
        given = task.reading.header_row
        head = list(islice(rows, HINT_ROWS if given == "auto" else max(HINT_ROWS, given + 1)))
        if all(map(_is_blank, head)):
            rows = list(rows)
            if all(map(_is_blank, rows)):
                yield sort(Records([], []), Sheet(task.sheet.file, name, NO_LAYOUT), task.reading)
                continue
        layout = _book_layout(f"{task.path}, sheet '{name}'", head, book_sheet, task, params)
        sheet = Sheet(
            task.sheet.file, name, layout, state=book_sheet.state, day_zero=book_sheet.day_zero
        )
        dates = [p for n, p in layout.places.items() if params.columns[n].role == "date"]
        rows, line = chain(head, rows), 1
        size = None if params.depends_on_rows_above else CHUNK_ROWS
        while chunk := list(islice(rows, size)):
            lines = range(line, line + len(chunk))
            hidden = [
                number
                for number in sorted(book_sheet.hidden_rows.intersection(lines))
                if number > layout.header_row and not _is_blank(chunk[number - line])
            ]
            counted = show_days(chunk, dates, book_sheet.day_zero)
            unwanted = _unwanted(book_sheet, task, lines, hidden)
            part = sort(Records(chunk, list(lines), unwanted=unwanted), sheet, task.reading)
            part.sheet.rows_hidden = _count_hidden(part, hidden)
            part.sheet.days_counted = counted
            yield part
            line += len(chunk)


def _count_hidden(part: Part, hidden: list[int]) -> int:
    """Return how many `hidden` rows are transactions, or would be if they were not left out."""
    if not hidden:
        return 0
    rejects = part.rejects.select(["source_row", "reason"]).to_pylist()
    others = {row["source_row"] for row in rejects if row["reason"] != HIDDEN_ROW}
    return len(set(hidden) - others)


def _book_layout(
    where: str, head: list[list], book_sheet: BookSheet, task: _Task, params: IngestParams
) -> Layout:
    try:
        return find_layout(where, head, task.reading, params)
    except UserError as error:
        if book_sheet.state == "visible":
            raise
        if task.reading.hidden == "leave_out":
            return NO_LAYOUT  # it may have anything
        raise UserError(
            error.code,
            f"{where} ({book_sheet.state})",
            error.problem,
            f"set hidden: leave_out for this file in ingest.reading; or {error.action}",
        ) from None


def _unwanted(
    book_sheet: BookSheet, task: _Task, lines: range, hidden: list[int]
) -> dict[int, str]:
    if task.reading.hidden == "keep":
        return {}
    if book_sheet.state != "visible":
        return dict.fromkeys(lines, HIDDEN_SHEET)
    return dict.fromkeys(hidden, HIDDEN_ROW)
