"""Read ledger files as they are into one table of text.

Reads the files of ``ingest.source``. Writes ``data/ingest/transactions.parquet`` (where each row
came from, then one text column per canonical column with its role as field metadata, then
``masked``), ``data/ingest/rejects.parquet`` (every row that is not there, with its cells and the
reason) and ``metrics/ingest/report.json`` (what was found and guessed, file by file). Personal data
is masked in all of them. Parameters: ``ingest``.
"""

import os
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import partial
from itertools import chain, compress, islice, product
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from stages.lib.errors import UserError
from stages.lib.ledger import files
from stages.lib.ledger.encodings import find_encoding
from stages.lib.ledger.headers import (
    HEADER_SEARCH_ROWS,
    Layout,
    find_layout,
    header_key,
    name_cells,
)
from stages.lib.ledger.opening import damaged
from stages.lib.ledger.privacy import mask_cells, mask_personal
from stages.lib.ledger.rows import (
    MOVED_HEADER,
    NOT_TRANSACTIONS,
    Rules,
    encodable,
    find_reasons,
    shown,
)
from stages.lib.parallel import cores, map_ordered
from stages.lib.params.files import load_params
from stages.lib.params.ingest import IngestParams, Reading
from stages.lib.process import run_stage
from stages.lib.tables import row_digests, table_writers, write_json

OUT = Path("data/ingest")
REPORT = Path("metrics/ingest/report.json")

SAMPLE_CHARS = 200_000
# Below this, starting a second process costs more than it saves.
PARALLEL_BYTES = 16_000_000
CHUNK_ROWS = 50_000
# So many cells of a part are compared with their column's role, and so many different values with
# those of other files: enough to notice a moved column.
CHECKED_CELLS = 1_000
VOCABULARY = 300
# So few wrong cells are no sign of a moved column.
MIN_WRONG = 3

# Roles whose values a sheet shares with other sheets, so that a moved column can be noticed.
COMPARABLE = ("text", "group", "category", "label", "label_name")
# A digest of what was masked in a row ("" for nothing): rows that differ only there are different.
MASKED = pa.field("masked", pa.string())

ORIGIN = [
    pa.field("source_file", pa.dictionary(pa.int32(), pa.string())),
    pa.field("source_sheet", pa.dictionary(pa.int32(), pa.string())),
    pa.field("source_row", pa.int32()),
]
REJECTS = pa.schema(
    [*ORIGIN, pa.field("reason", pa.string()), pa.field("cells", pa.list_(pa.string()))]
)

# Loose on purpose: what a cell means is decided by preprocess, with the user's parameters.
_AMOUNT = (
    r"^(?:[A-Z]{0,3}[\p{Sc}원\s]*[-–—−][\p{Sc}원\s]*"
    r"|[^0-9]{0,8}[0-9][0-9.,'’´`\x{301}\s]*(E0)?[^0-9]{0,8})$"
)
# RE2 takes 12 milliseconds to compile \pL{3,10}, once a column and sheet.
_WORD = r"[^\x00-\x40]{3,10}"
_DATE = (
    r"^[^0-9]{0,12}((\d{1,4}|元)\s?[-/.\s년年]\s?(\d{1,2}|"
    + _WORD
    + r"\.?)\s?[-/.\s월月]\s?\d{1,4}"
    r"|\d{8}(\d{4}|\d{6})?|\d{6}|\d{5}(\.\d+)?"
    r"|\d{1,2}(st|nd|rd|th|er)?\.?[ -]?(de |of )?" + _WORD + r"\.?,?[ -]?(de |del )?\d{2,4}"
    r"|\d{4}[ -]?"
    + _WORD
    + r"[ -]?\d{1,2}|"
    + _WORD
    + r"[-/. ]{0,2}\d{1,2}(st|nd|rd|th)?[-/., ]{1,2}\d{2,4})"
    r"([^0-9].*)?$"
)
class Task(NamedTuple):
    """Rows to sort, for one worker. A workbook finds its layouts itself."""

    path: Path
    file: str
    reading: Reading
    params: IngestParams
    kind: Literal["text", "parquet", "workbook"]
    layout: Layout | None
    content: object
    dialect: dict[str, str]
    size: int
    last: bool
    key: bytes = b""


@dataclass
class Sheet:
    """What was seen in one sheet; the parts of a sheet are added up."""

    file: str
    name: str
    layout: Layout
    dialect: dict[str, str]
    rows_read: int = 0
    reasons: Counter = field(default_factory=Counter)
    masked: Counter = field(default_factory=Counter)
    # By column: filled cells, cells that look right, one that does not.
    content: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    vocabulary: dict[str, Counter] = field(default_factory=dict)

    def add(self, other: "Sheet") -> None:
        self.rows_read += other.rows_read
        self.reasons += other.reasons
        self.masked += other.masked
        for name, (filled, right, wrong) in other.content.items():
            before = self.content.get(name, (0, 0, ""))
            self.content[name] = (before[0] + filled, before[1] + right, before[2] or wrong)


class Part(NamedTuple):
    taken: pa.Table
    rejects: pa.Table
    sheet: Sheet
    rest: files.Block | None


# Rows


def _masked(text: str, params: IngestParams) -> str:
    return mask_personal(text, params.mask)[0]


def check_content(
    columns: dict[str, pa.Array], params: IngestParams
) -> dict[str, tuple[int, int, str]]:
    """Return per checked column how many cells are filled, how many look right, a wrong one."""
    checks = {
        name: rf"^(?:{params.patterns[name]})$"
        if name in params.patterns
        else {"date": _DATE, "amount": _AMOUNT}.get(params.columns[name].role)
        for name in columns
    }
    found = {}
    for name, pattern in checks.items():
        if pattern:
            # As preprocess reads them: full-width digits and hard spaces are no mistake.
            cells = pc.utf8_normalize(columns[name].slice(0, CHECKED_CELLS), form="NFKC")
            cells = pc.utf8_trim_whitespace(cells)
            cells = cells.filter(pc.not_equal(cells, ""))
            right = pc.match_substring_regex(cells, pattern)
            wrong = cells.filter(pc.invert(right)).slice(0, 1).to_pylist()
            example = _masked(wrong[0], params) if wrong else ""
            found[name] = (len(cells), pc.sum(right).as_py() or 0, example)
    return found


def vocabulary(column: pa.Array) -> Counter:
    """Return the most frequent values of `column` with their counts."""
    counts = pc.value_counts(pc.utf8_trim_whitespace(column)).to_pylist()
    words = Counter({c["values"]: c["counts"] for c in counts if c["values"]})
    return Counter(dict(words.most_common(VOCABULARY)))


def _origin(file: str, sheet: str, lines: list[int]) -> list[pa.Array]:
    zeros = pa.array(np.zeros(len(lines), np.int32))
    return [
        pa.DictionaryArray.from_arrays(zeros, pa.array([file])),
        pa.DictionaryArray.from_arrays(zeros, pa.array([sheet])),
        pa.array(lines, pa.int32()),
    ]


def output_schema(params: IngestParams) -> pa.Schema:
    """Return the schema of the transactions: origin, the canonical columns with roles, MASKED."""
    columns = [
        pa.field(name, pa.string(), metadata={"role": column.role})
        for name, column in params.columns.items()
    ]
    return pa.schema([*ORIGIN, *columns, MASKED])


def mask_columns(
    columns: dict[str, pa.Array], params: IngestParams, key: bytes
) -> tuple[dict[str, pa.Array], pa.Array, Counter]:
    """Return the columns with personal data masked, the column MASKED, and how many cells held
    data of each (column, kind). What fits the pattern of its column is none, nor is an account or
    what looks like an amount."""
    spared = {params.label: ".*", **params.patterns}
    hidden, counts = {}, Counter()
    changed = np.zeros(len(columns[params.label]), bool)
    for name, cells in columns.items():
        spare = spared.get(name, _AMOUNT if params.columns[name].role == "amount" else None)
        hidden[name], here, found = mask_cells(cells, params.mask, spare)
        changed |= here.to_numpy(zero_copy_only=False)
        counts.update({(name, kind): n for kind, n in found.items()})
    raw = pa.table({name: cells.filter(pa.array(changed)) for name, cells in columns.items()})
    digests = np.full(len(changed), "", object)
    digests[changed] = [d.tobytes().hex() for d in row_digests(raw, raw.column_names, key)]
    return hidden, pa.array(digests, MASKED.type), counts


def mask_name(name: str, place: int, params: IngestParams) -> str:
    """Return the name of a file or sheet without personal data; then `place`, its number in the
    order of reading, tells it from others."""
    masked = _masked(name, params)
    return name if masked == name else f"{masked} ({place})"


def mask_lists(cells: list[list[str]], params: IngestParams) -> pa.Array:
    """Return lists of cells with personal data masked."""
    lists = pa.array(cells, pa.list_(pa.string()))
    return pa.ListArray.from_arrays(lists.offsets, mask_cells(lists.flatten(), params.mask)[0])


def row_rules(task: Task) -> Rules:
    """Return the rules for the rows of one task."""
    params, is_text = task.params, task.kind == "text"
    return Rules(
        roles={name: column.role for name, column in params.columns.items()},
        label=params.label,
        required=params.required,
        patterns=params.patterns,
        fill_down=params.fill_down,
        total_words=params.total_words,
        fixed_width=is_text,
        reject_short=task.reading.short_rows == "reject",
        undecodable=is_text and not encodable(task.content.text),
    )


def sort_rows(
    task: Task,
    sheet: str,
    layout: Layout,
    rows: list[list],
    lines: list[int],
    broken: list[tuple[int, str]] = (),
    rest: files.Block | None = None,
) -> Part:
    """Tell transactions from all other rows; only the header itself is left out.

    Parameters
    ----------
    rows, lines : list
        Rows of cells, and the number of each in its sheet (1-based).
    broken : list of (int, str)
        Lines that could not be read as rows.
    rest : files.Block, optional
        Text that belongs to the next part.
    """
    is_first = bool(lines) and lines[0] <= max(1, layout.header_row)
    kept = [i for i, line in enumerate(lines) if line != layout.header_row]
    if len(kept) < len(rows):
        rows, lines = [rows[i] for i in kept], [lines[i] for i in kept]
    columns, reasons = find_reasons(
        rows, lines, layout, row_rules(task), [line for line, _ in broken]
    )
    seen = Sheet(task.file, sheet, layout, task.dialect)
    if (moved := np.flatnonzero(reasons == MOVED_HEADER)).size:
        raise UserError(
            f"{_where(seen, task.params)}, row {lines[moved[0]]}: the header stands here again, "
            "over columns in another order; make a file or sheet of its own of what follows"
        )
    good = reasons == ""
    columns = {name: column.filter(pa.array(good)) for name, column in columns.items()}
    hidden, digests, masked = mask_columns(columns, task.params, task.key)
    taken = pa.Table.from_arrays(
        [*_origin(task.file, sheet, list(compress(lines, good))), *hidden.values(), digests],
        schema=output_schema(task.params),
    )
    bad = [(lines[i], reasons[i], shown(rows[i])) for i in np.flatnonzero(~good)]
    bad = sorted(bad + [(line, "stray quote", shown([text])) for line, text in broken])
    rejects = pa.Table.from_arrays(
        [
            *_origin(task.file, sheet, [line for line, _, _ in bad]),
            pa.array([reason for _, reason, _ in bad], pa.string()),
            mask_lists([cells for _, _, cells in bad], task.params),
        ],
        schema=REJECTS,
    )
    seen.rows_read = len(rows) + len(broken)
    seen.reasons = Counter(reason for _, reason, _ in bad)
    seen.masked = masked
    seen.content = check_content(columns, task.params)
    if is_first:
        seen.vocabulary = {
            name: vocabulary(column)
            for name, column in columns.items()
            if task.params.columns[name].role in COMPARABLE
        }
    return Part(taken, rejects, seen, rest)


def _layout(where: str, rows: list, reading: Reading, params: IngestParams) -> Layout:
    names = {name: column.names for name, column in params.columns.items()}
    return find_layout(
        where,
        rows,
        names,
        params.required,
        reading.header_row,
        reading.positions,
        partial(_masked, params=params),
    )


# Files


def _files_below(top: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot be read: {error.strerror}")

    found = []
    for folder, folders, names in os.walk(top, onerror=refuse):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        found += [Path(folder, name) for name in [*links, *names]]
    return sorted(found)


def find_files(source: str, patterns: list[str]) -> tuple[list[tuple[Path, str]], list[str]]:
    """Return (path, name below the source) of the files to read, in order, and those left out."""
    top = Path(source)
    if os.path.isfile(top):
        return [(top, top.name)], []
    if not os.path.isdir(top):
        glob = "; patterns belong into ingest.files, the folder here" * any(
            c in source for c in "*?["
        )
        raise UserError(f"ingest.source: {source}: there is no such file or folder{glob}")
    read, left = [], []
    for path in _files_below(top):
        name = path.relative_to(top).as_posix()
        if not name.isascii() and any(unicodedata.category(c) == "Cs" for c in name):
            raise UserError(f"ingest.source: the file name {name!a} is no UTF-8; rename it")
        if "\n" in name or "\r" in name:
            raise UserError(f"ingest.source: the file name {name!r} has a line break; rename it")
        # Excel's lock files and hidden files are no ledgers.
        if not path.name.startswith((".", "~$")):
            # A link to a folder is not followed: it may lead to files that are read already.
            fits = not os.path.isdir(path) and any(
                files.fits(name, pattern) for pattern in patterns
            )
            read.append((path, name)) if fits else left.append(name)
    if not read:
        raise UserError(
            f"ingest.source: {source}: no file matches {', '.join(patterns)}; found "
            f"{', '.join(left[:5]) or 'none'}"
        )
    return read, left


def find_dialect(
    where: str, sample: files.Block, reading: Reading, params: IngestParams
) -> tuple[str, str, Layout]:
    """Return the delimiter, the quote and the layout of a text file from its beginning.

    The pair under which the header names the most canonical columns wins, then the one under
    which the most lines have as many cells as the header and the fewest cells keep quote marks.
    """
    delimiters = files.DELIMITERS if reading.delimiter == "auto" else [reading.delimiter]
    quotes = files.QUOTES if reading.quote == "auto" else [reading.quote]
    found, failures, tried = [], [], []
    for delimiter, quote in product(delimiters, quotes):
        rows, lines, _, _ = files.read_records(
            sample, files.DELIMITERS[delimiter], files.QUOTES[quote], last=False
        )
        if rows in tried:  # most files have no quotes to differ in
            continue
        tried.append(rows)
        widths = Counter(map(len, rows))
        try:
            layout = _layout(where, rows, reading, params)
        except UserError as error:
            failures.append((widths.total() and max(widths), error))
            continue
        if layout.header_row:
            layout = layout._replace(header_row=lines[layout.header_row - 1])
        else:
            enough = [w for w in widths if w > max(layout.places.values())]
            layout = layout._replace(width=max(enough, key=widths.get, default=0))
        marked = sum(len(c) > 1 and c[0] == c[-1] and c[0] in "\"'" for row in rows for c in row)
        even = widths[layout.width] - marked
        found.append((len(layout.places), even, delimiter, quote, layout))
    if not found:
        raise max(failures, key=lambda failure: failure[0])[1]
    return max(found, key=lambda pair: pair[:2])[2:]


def text_tasks(path: Path, file: str, reading: Reading, params: IngestParams) -> Iterator[Task]:
    """Yield the blocks of a text file as tasks, after its format is found."""
    # A cell that is filled from above may find it anywhere above, so the file is one block.
    chars = files.BLOCK_CHARS if not params.fill_down else -1
    guessed = reading.encoding == "auto"
    encoding = find_encoding(path) if guessed else reading.encoding
    blocks = files.text_blocks(path, encoding, reading.line_end, SAMPLE_CHARS)
    sample = next(blocks, files.Block("", 1, 0))
    if not sample.text.strip():
        raise UserError(f"{path}: is empty; write it again, or leave it out of ingest.files")
    delimiter, quote, layout = find_dialect(str(path), sample, reading, params)
    dialect = {"encoding": encoding, "delimiter": delimiter, "quote": quote}
    start, block = 0, files.Block("", 1, 0)
    for following in chain(files.text_blocks(path, encoding, reading.line_end, chars), [None]):
        size, start = block.end - start, block.end
        if block.text or following is None:
            last = following is None
            yield Task(path, file, reading, params, "text", layout, block, dialect, size, last)
        block = following


def parquet_tasks(path: Path, file: str, reading: Reading, params: IngestParams) -> Iterator[Task]:
    """Yield the record batches of a parquet file as tasks; its column names are the header."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as table:
            names, first, rows = table.schema_arrow.names, 1, table.metadata.num_rows
            layout = _layout(str(path), [names], reading, params)._replace(header_row=0)
            batches = table.iter_batches(batch_size=CHUNK_ROWS)
            if params.fill_down:  # what fills a cell may stand anywhere above it
                batches = table.read().combine_chunks().to_batches()
            if not rows:
                batches = [pa.RecordBatch.from_pylist([], table.schema_arrow)]
            for batch in batches:
                batch.validate(full=True)
                content, size = (first, batch), files.file_size(path) * len(batch) // max(1, rows)
                yield Task(path, file, reading, params, "parquet", layout, content, {}, size, True)
                first += len(batch)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damaged(path, error) from None


def find_tasks(paths: list[tuple[Path, str]], params: IngestParams) -> Iterator[Task]:
    """Yield what there is to read in all files, in order."""
    kinds = [files.file_kind(path) for path, _ in paths]
    key = files.digest(path for path, _ in paths)
    for place, ((path, file), kind) in enumerate(zip(paths, kinds, strict=True), start=1):
        fits = (r for r in params.reading if files.fits(file, r.match))
        reading = next(fits, None)
        if reading is None:
            raise UserError(f"{path}: no entry of ingest.reading matches it; end with match: '*'")
        file = mask_name(file, place, params)
        match kind:
            case "text":
                tasks = text_tasks(path, file, reading, params)
            case "parquet":
                tasks = parquet_tasks(path, file, reading, params)
            case "workbook":
                size = files.file_size(path)
                tasks = [Task(path, file, reading, params, "workbook", None, None, {}, size, True)]
        yield from (task._replace(key=key) for task in tasks)


def _is_blank(row: list) -> bool:
    return not any(files.cell_text(cell).strip() for cell in row)


def _book_parts(task: Task) -> Iterator[Part]:
    sheets = files.workbook_sheets(task.path, task.reading.sheets)
    for place, (name, rows) in enumerate(sheets, start=1):
        name = mask_name(name, place, task.params)
        given = task.reading.header_row
        head = list(islice(rows, HEADER_SEARCH_ROWS if given == "auto" else given + 1))
        if all(map(_is_blank, head)):
            rows = list(rows)
            if all(map(_is_blank, rows)):
                yield sort_rows(task, name, Layout(0, [], {}, 0), [], [])
                continue
        layout = _layout(f"{task.path}, sheet '{name}'", head, task.reading, task.params)
        rows, line = chain(head, rows), 1
        while chunk := list(islice(rows, None if task.params.fill_down else CHUNK_ROWS)):
            yield sort_rows(task, name, layout, chunk, list(range(line, line + len(chunk))))
            line += len(chunk)


def read_parts(task: Task) -> list[Part]:
    """Return the sorted rows of one task."""
    if task.kind == "workbook":
        return list(_book_parts(task))
    if task.kind == "parquet":
        first, batch = task.content
        try:
            used = task.layout.places.values()
            cells = [files.typed_cells(c, place in used) for place, c in enumerate(batch)]
            rows = list(zip(*cells, strict=True))
        except UnicodeDecodeError:
            raise UserError(
                f"{task.path}: a column of bytes holds no UTF-8 text; write text, or drop it"
            ) from None
        except (ValueError, OverflowError) as error:
            raise damaged(task.path, error) from None
        return [sort_rows(task, "", task.layout, rows, list(range(first, first + len(rows))))]
    records = files.read_records(
        task.content,
        files.DELIMITERS[task.dialect["delimiter"]],
        files.QUOTES[task.dialect["quote"]],
        task.last,
    )
    return [sort_rows(task, "", task.layout, *records)]


def read_all(tasks: Iterator[Task], workers: int, progress: tqdm) -> Iterator[Part]:
    """Yield the parts of all tasks in order.

    A worker reads its block as if it began with a new record. Where the block before it ended
    inside one, it is read again here, together with what was left.
    """
    rest = None
    for task, parts in map_ordered(read_parts, tasks, workers, lambda task: str(task.path)):
        if rest:
            if len(rest.text) > files.LONGEST_RECORD_CHARS:
                raise UserError(
                    f"{task.path}, line {rest.line}: a quote opens here and is not closed within "
                    f"{files.LONGEST_RECORD_CHARS:,} characters; set quote: none in ingest.reading"
                )
            block = files.Block(rest.text + task.content.text, rest.line, task.content.end)
            parts = read_parts(task._replace(content=block))
        for part in parts:
            rest = part.rest
            yield part
        progress.update(task.size)


# The sheets together


def known_cells(words: Counter, spread: Counter, own: Counter) -> int:
    """Return how many cells, of which `words` are values and counts, hold what a column has in
    other sheets.

    `spread` says in how many sheets the column has each value; `own` are its values in this one.
    """
    return sum(n for word, n in words.items() if spread.get(word, 0) > (word in own))


def check_sheets(sheets: list[Sheet], params: IngestParams) -> None:
    """Raise UserError if the header of a sheet seems to stand over other columns.

    Either cells do not look like what their column holds, or the values of a column are, in the
    other sheets, those of another column.
    """
    for sheet in sheets:
        for name, (filled, right, wrong) in sheet.content.items():
            if filled - right >= MIN_WRONG and right < params.min_content_match * filled:
                lost = (
                    ". Codes that lost their leading zeros: let the pattern have fewer digits and "
                    "set preprocess.labels.pad_to"
                ) * (name == params.label and wrong.removesuffix(".0").isdigit())
                raise UserError(
                    f"{_where(sheet, params)}: only {right:,} of {filled:,} cells of the column "
                    f"{_heading(sheet, name, params)} look like {name} "
                    f"({params.patterns.get(name) or params.columns[name].role}): {wrong!r}. If "
                    "the header stands over other columns, give the positions of this file in "
                    "ingest.reading; else correct ingest.patterns or min_content_match, or take "
                    f"the column out{lost}"
                )
    check_found(sheets, params)
    spread = {name: Counter() for name in params.columns}
    for sheet in sheets:
        for name, words in sheet.vocabulary.items():
            spread[name].update(words.keys())
    for sheet in sheets:
        for name, words in sheet.vocabulary.items():
            total, right = words.total(), known_cells(words, spread[name], words)
            if 3 * right >= total:  # no other column can have three times as many
                continue
            known = {
                other: known_cells(words, spread[other], own)
                for other, own in sheet.vocabulary.items()
            }
            best = max(known, key=known.get)
            if known[best] > 0.5 * total and known[best] > 3 * right:
                raise UserError(
                    f"{_where(sheet, params)}: the column {_heading(sheet, name, params)} should "
                    f"be {name}, but holds what other files have as {best}; if its header stands "
                    "over other columns, give the positions of this file in ingest.reading"
                )


def check_found(sheets: list[Sheet], params: IngestParams) -> None:
    """Raise UserError if a column with names stands in no sheet: it would be empty everywhere."""
    headers = [sheet.layout for sheet in sheets if sheet.layout.places]
    found = {name for layout in headers for name in layout.places}
    for name, column in params.columns.items():
        if headers and name not in found and column.names:
            cells = {
                cell: similar(header_key(cell), column.names)
                for layout in headers
                for place, cell in enumerate(name_cells(layout.header))
                if cell and place not in layout.places.values()
            }
            nearest = " | ".join(sorted(cells, key=cells.get, reverse=True)) or "none"
            nearest = _masked(nearest, params)
            raise UserError(
                f"ingest.columns.{name}: no file has it, neither a header cell "
                f"{' / '.join(column.names)!r} nor a position in ingest.reading; header cells that "
                f"no column took, the nearest first: {nearest[:300]}. Correct names, or take the "
                "column out"
            )


def similar(key: str, names: list[str]) -> float:
    """Return how much the header cell `key` is like the likest of `names`, 0 to 1."""
    return max((SequenceMatcher(a=key, b=header_key(n)).ratio() for n in names), default=0.0)


def _where(sheet: Sheet, params: IngestParams) -> str:
    return f"{sheet.file}, sheet '{sheet.name}'" if sheet.name else sheet.file


def _heading(sheet: Sheet, name: str, params: IngestParams) -> str:
    place = sheet.layout.places[name]
    header = sheet.layout.header[place].strip() if place < len(sheet.layout.header) else ""
    # A row that serves as the header may be none.
    header = _masked(header, params)
    return f"{place + 1} ({header!r})" if header else str(place + 1)


def check_rejects(rows_out: int, reasons: Counter, examples: dict, params: IngestParams) -> None:
    """Raise UserError if too many rows were refused, or none is left."""
    refused = Counter({r: n for r, n in reasons.items() if r not in NOT_TRANSACTIONS})
    share = refused.total() / max(1, refused.total() + rows_out)
    if rows_out and share <= params.max_reject_fraction:
        return
    top = "; ".join(
        f"{reason}: {count:,} rows, such as {', '.join(examples[reason])}"
        for reason, count in (refused or reasons).most_common(3)
    )
    if not rows_out:
        raise UserError(f"ingest: no transaction was found in {params.source}; {top or 'no rows'}")
    raise UserError(
        f"ingest: {refused.total():,} of {refused.total() + rows_out:,} rows were refused "
        f"({share:.1%}, ingest.max_reject_fraction is {params.max_reject_fraction:.1%}); {top}"
    )


def make_report(sheets: list[Sheet], rows_out: int, left: list[str], params: IngestParams) -> dict:
    """Return the counts of all sheets, and what was found in each."""
    reasons = sum((sheet.reasons for sheet in sheets), Counter())
    masked = sum((sheet.masked for sheet in sheets), Counter())
    return {
        "rows_read": sum(sheet.rows_read for sheet in sheets),
        "rows_out": rows_out,
        "rows_rejected": reasons.total(),
        "reasons": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        "cells_masked": {f"{kind} in {name}": n for (name, kind), n in sorted(masked.items())},
        "files_not_read": [_masked(name, params) for name in left],
        "sheets": [
            {
                "file": sheet.file,
                "sheet": sheet.name,
                **sheet.dialect,
                "header_row": sheet.layout.header_row,
                "rows_read": sheet.rows_read,
                "rows_out": sheet.rows_read - sheet.reasons.total(),
                "reasons": dict(sorted(sheet.reasons.items())),
                "columns": {name: _heading(sheet, name, params) for name in sheet.layout.places},
                "columns_not_used": [
                    _masked(" ".join(cell.split()), params)
                    for place, cell in enumerate(sheet.layout.header)
                    if cell.strip() and place not in sheet.layout.places.values()
                ],
            }
            for sheet in sheets
        ],
    }


def make_remarks(sheets: list[Sheet], rows_out: int, params: IngestParams) -> list[str]:
    """Return a line for each column of codes or vendors that is masked in most of the rows."""
    masked = sum((sheet.masked for sheet in sheets), Counter())
    return [
        f"{count:,} of {rows_out:,} cells of {name} are masked ({kind}); if they are codes and "
        f"nothing personal, say in ingest.patterns.{name} what they look like"
        for (name, kind), count in sorted(masked.items())
        if params.columns[name].role in ("category", "group") and count > 0.5 * rows_out
    ]


def main() -> None:
    params = load_params(ingest=IngestParams).ingest
    paths, left = find_files(params.source, params.files)
    size = sum(files.file_size(path) for path, _ in paths)
    workers = cores() if size > PARALLEL_BYTES else 1
    if any(files.may_kill_its_reader(path) for path, _ in paths):
        workers = max(2, workers)  # a worker's death is one line, one's own is none
    sheets: dict[tuple[str, str], Sheet] = {}
    rows_out, rows_rejected, examples = 0, 0, defaultdict(list)
    with (
        table_writers(
            {OUT / "transactions.parquet": output_schema(params), OUT / "rejects.parquet": REJECTS}
        ) as (transactions, rejects),
        tqdm(total=size, unit="B", unit_scale=True, desc="ingest", mininterval=1) as bar,
    ):
        for part in read_all(find_tasks(paths, params), workers, bar):
            if part.sheet.rows_read:
                transactions.write(part.taken)
                rejects.write(part.rejects)
            rows_out += part.taken.num_rows
            rows_rejected += part.rejects.num_rows
            sheet = sheets.setdefault((part.sheet.file, part.sheet.name), part.sheet)
            if sheet is not part.sheet:
                sheet.add(part.sheet)
            for reject in part.rejects.slice(0, 100).to_pylist():
                if len(examples[reject["reason"]]) < 3:
                    row = f"{reject['source_file']} row {reject['source_row']}"
                    examples[reject["reason"]].append(row)
        found = list(sheets.values())
        check_sheets(found, params)
        report = make_report(found, rows_out, left, params)
        check_rejects(rows_out, Counter(report["reasons"]), examples, params)
        if report["rows_read"] != rows_out + rows_rejected:
            raise RuntimeError(f"rows were lost: {report['rows_read']} read, {rows_out} taken")
    write_json(report, REPORT)
    for remark in make_remarks(found, rows_out, params):
        print(f"ingest: {remark}", file=sys.stderr)  # which takes every letter, as stdout may not


if __name__ == "__main__":
    run_stage(main)
