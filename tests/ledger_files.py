"""Write ledgers in the formats that accountants have, and read them."""

import importlib
import zipfile
from collections.abc import Callable
from copy import deepcopy
from datetime import date
from pathlib import Path
from xml.sax.saxutils import escape

from ruamel.yaml import YAML

from stages.lib.contracts.roles import column_roles
from stages.lib.ledger.reading import read_ledger
from stages.lib.params.ingest import IngestParams
from stages.lib.tables import read_json, read_table

HEADER = ["Date", "Vendor", "Memo", "Amount", "Account", "Account name"]
ROWS = [
    ["2020-04-16", "NA", "Café crème, 2 St.", "95.58", "0101", "MEALS"],
    ["2020-04-17", "(주)한빛 문구", '5" folder', "1234", "2010", "SUPPLIES"],
    ["2020-04-18", "None", "null", "-12.5", "2010", "SUPPLIES"],
    ["2020-04-19", "O'Brien", "two\nlines", "0", "4010", "TRAVEL"],
]


class ErrorCell(str):
    """What a spreadsheet shows where a formula has no result."""


INGEST = {
    "source": "raw",
    "files": ["*"],
    "reading": [
        {
            "match": "*",
            "sheets": ["*"],
            "hidden": "keep",
            "encoding": "auto",
            "delimiter": "auto",
            "quote": "auto",
            "line_end": "any",
            "header_row": "auto",
            "positions": {},
            "short_rows": "reject",
        }
    ],
    "columns": {
        "date": {"role": "date", "names": ["date", "일자"]},
        "vendor": {"role": "group", "names": ["vendor", "거래처"]},
        "memo": {"role": "text", "names": ["memo", "적요"]},
        "amount": {"role": "amount", "names": ["amount", "금액"]},
        "account": {"role": "label", "names": ["account", "계정"]},
        "name": {"role": "label_name", "names": ["account name", "계정명"]},
    },
    "required": ["date", "amount", "account"],
    "patterns": {"account": "[0-9]{4}"},
    "fill_down": [],
    "voucher": "auto",
    "wrapped": [],
    "label_separator": None,
    "total_words": ["total", "subtotal", "합계", "소계"],
    "mask": ["email", "card", "resident_number", "bank_account", "phone"],
    "min_content_match": 0.8,
    "max_reject_fraction": 0.5,
}
PREPROCESS = {
    "case": "fold",
    "decimal": "point",
    "currency_words": ["cad", "원"],
    "credit_words": ["cr"],
    "date_order": "ymd",
    "other_formats": [],
    "unreadable_amount": "reject",
    "unreadable_date": "reject",
    "labels": {
        "pattern": "[0-9]{4}",
        "pad_to": 0,
        "masked": r"\*+",
        "masked_rule": "reject",
        "merge": {},
        "retire": [],
    },
    "duplicates": "reject",
    "max_reject_fraction": 0.5,
}
FEATURE = {
    "fields": ["vendor", "memo", "amount_bucket"],
    "date_column": "date",
    "amount_column": "amount",
    "credit_column": None,
    "group_column": "vendor",
    "amount_edges": [0, 100, 1000],
    "max_leak_rate": 0.2,
    "max_copy_rate": 1.0,
}
SPLIT = {
    "label_column": "acct_code",
    "seed": 42,
    "test_size": 0.2,
    "val_size": 0.1,
    "strategy": "stratified",
    "min_rows_per_account": 1,
}


def typed(row: list[str]) -> list:
    """Return a row as a workbook has it: the amount is a number."""
    return [*row[:3], float(row[3]), *row[4:]]


def many(count: int, code: str = "0101") -> list[list[str]]:
    """Return `count` rows that have the same account."""
    return [
        ["2020-04-16", f"shop {i % 7}", f"thing {i}", str(i), code, f"NAME {code}"]
        for i in range(1, count + 1)
    ]


def ingest_params(source: Path | str, reading: dict | None = None, **changes) -> IngestParams:
    """Return parameters for the ledger in `source`: those of INGEST but for `changes`.

    `reading` has changes of the one entry there.
    """
    content = {**deepcopy(INGEST), "source": str(source), **changes}
    content["reading"][-1] |= reading or {}
    return IngestParams.model_validate(content)


def names(**changes: list[str]) -> dict[str, dict]:
    """Return the columns of INGEST with other header names."""
    columns = deepcopy(INGEST["columns"])
    for column, spellings in changes.items():
        columns[column]["names"] = spellings
    return columns


def without(*names: str) -> dict[str, dict]:
    """Return the columns of INGEST but for those called `names`."""
    return {name: column for name, column in INGEST["columns"].items() if name not in names}


def places(*numbers: int) -> dict[str, int]:
    """Return the columns of INGEST at `numbers` (1-based), or in their order."""
    return dict(zip(INGEST["columns"], numbers or range(1, 7), strict=True))


class Read:
    """A ledger that was read: `cells`, `rejects` as (row, reason), and all that `read_ledger`
    returns."""

    def __init__(self, params: IngestParams, **options) -> None:
        ledger = read_ledger(params, **options)
        self.transactions, self.rejects_table, self.report, self.remarks = ledger
        columns = self.transactions.select(list(column_roles(self.transactions.schema)))
        self.cells = [list(row.values()) for row in columns.to_pylist()]
        self.rejects = [(r["source_row"], r["reason"]) for r in self.rejects_table.to_pylist()]

    @property
    def sheet(self) -> dict:
        """The report of the only sheet."""
        (sheet,) = self.report["sheets"]
        return sheet


def read(source: Path | str, reading: dict | None = None, **changes) -> Read:
    """Return the ledger in `source`, read with `ingest_params`."""
    return Read(ingest_params(source, reading, **changes))


class Ledger:
    """A folder with a ledger in ``raw/`` and parameters; `run` runs stages in this process."""

    def __init__(self, folder: Path, monkeypatch) -> None:
        self.folder = folder
        self.raw = folder / "raw"
        self.raw.mkdir()
        self.ingest, self.preprocess = deepcopy(INGEST), deepcopy(PREPROCESS)
        self.feature, self.split = deepcopy(FEATURE), deepcopy(SPLIT)
        monkeypatch.chdir(folder)

    def run(self, *stages: str) -> dict:
        """Run the stages and return the report of the last."""
        yaml = YAML()
        shared = {name: getattr(self, name) for name in ("ingest", "preprocess", "feature")}
        yaml.dump(shared, self.folder / "params.yaml")
        yaml.dump({"split": self.split}, self.folder / "params_train.yaml")
        for stage in stages:
            importlib.import_module(f"stages.{stage}").main()
        return read_json(f"metrics/{stages[-1]}/report.json")

    def rows(self, path: str, columns: list[str]) -> list[tuple]:
        """Return the rows of ``data/<path>.parquet``, of `columns` only."""
        table = read_table(self.folder / f"data/{path}.parquet", columns)
        return list(zip(*(table[name].to_pylist() for name in columns), strict=True))

    def rejects(self) -> list[tuple[int, str]]:
        """Return row number and reason of what ingest refused."""
        return self.rows("ingest/rejects", ["source_row", "reason"])


def csv_text(rows: list[list[str]], delimiter: str = ",", quote: str = '"', end: str = "\n") -> str:
    def cell(text: str) -> str:
        if quote and (delimiter in text or quote in text or "\n" in text):
            return quote + text.replace(quote, quote * 2) + quote
        return text

    return "".join(delimiter.join(map(cell, row)) + end for row in rows)


def _xlsx_cell(cell: object) -> str:
    if isinstance(cell, ErrorCell):
        return f'<c s="0" t="e"><f>1/0</f><v>{cell}</v></c>'
    if isinstance(cell, int | float):
        return f"<c><v>{cell}</v></c>"
    if isinstance(cell, date):
        return f'<c s="1"><v>{(cell - date(1899, 12, 30)).days}</v></c>'
    text = escape(cell)
    return f'<c t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'


def write_xlsx(path: Path, sheets: dict[str, list[list]]) -> None:
    """Write a workbook of text, numbers and dates."""
    top = "http://schemas.openxmlformats.org"
    main, rel = f"{top}/spreadsheetml/2006/main", f"{top}/officeDocument/2006/relationships"
    numbers = range(1, len(sheets) + 1)
    listed = "".join(
        f'<sheet name="{escape(name)}" sheetId="{i}" r:id="r{i}"/>'
        for i, name in zip(numbers, sheets, strict=True)
    )
    links = "".join(
        f'<Relationship Id="r{i}" Type="{rel}/worksheet" Target="worksheets/s{i}.xml"/>'
        for i in numbers
    )
    package = f"{top}/package/2006/relationships"
    with zipfile.ZipFile(path, "w") as book:
        book.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}"><Relationship Id="r1" Type="{rel}/officeDocument" '
            'Target="xl/workbook.xml"/></Relationships>',
        )
        book.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{main}" xmlns:r="{rel}"><sheets>{listed}</sheets></workbook>',
        )
        book.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{package}">{links}<Relationship Id="s" Type="{rel}/styles" '
            'Target="styles.xml"/></Relationships>',
        )
        book.writestr(
            "xl/styles.xml",
            f'<styleSheet xmlns="{main}"><cellXfs count="2"><xf numFmtId="0"/>'
            '<xf numFmtId="14" applyNumberFormat="1"/></cellXfs></styleSheet>',
        )
        for i, rows in zip(numbers, sheets.values(), strict=True):
            lines = "".join(f"<row>{''.join(map(_xlsx_cell, row))}</row>" for row in rows)
            book.writestr(
                f"xl/worksheets/s{i}.xml",
                f'<worksheet xmlns="{main}"><sheetData>{lines}</sheetData></worksheet>',
            )


def rewrite(path: Path, change: Callable[[str, bytes], bytes]) -> None:
    """Replace each part of the archive at `path` by ``change(name, part)``."""
    with zipfile.ZipFile(path) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(path, "w") as copy:
        for name, part in parts.items():
            copy.writestr(name, change(name, part))


def write_ods(path: Path, rows: list[list]) -> None:
    """Write a one-sheet OpenDocument spreadsheet of text, numbers and dates."""
    urn = "urn:oasis:names:tc:opendocument:xmlns"

    def cell(value: object) -> str:
        if isinstance(value, ErrorCell):
            return (
                '<table:table-cell office:value-type="string" office:string-value="" '
                f'calcext:value-type="error"><text:p>{value}</text:p></table:table-cell>'
            )
        if isinstance(value, int | float):
            return f'<table:table-cell office:value-type="float" office:value="{value}"/>'
        if isinstance(value, date):
            return f'<table:table-cell office:value-type="date" office:date-value="{value}"/>'
        lines = "".join(f"<text:p>{escape(line)}</text:p>" for line in value.split("\n"))
        return f'<table:table-cell office:value-type="string">{lines}</table:table-cell>'

    body = "".join(f"<table:table-row>{''.join(map(cell, row))}</table:table-row>" for row in rows)
    with zipfile.ZipFile(path, "w") as book:
        kind = "application/vnd.oasis.opendocument.spreadsheet"
        book.writestr("mimetype", kind)
        book.writestr(
            "META-INF/manifest.xml",
            f'<manifest:manifest xmlns:manifest="{urn}:manifest:1.0"><manifest:file-entry '
            f'manifest:full-path="/" manifest:media-type="{kind}"/></manifest:manifest>',
        )
        book.writestr(
            "content.xml",
            f'<office:document-content xmlns:office="{urn}:office:1.0" '
            'xmlns:calcext="urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0" '
            f'xmlns:table="{urn}:table:1.0" xmlns:text="{urn}:text:1.0"><office:body>'
            f'<office:spreadsheet><table:table table:name="S">{body}</table:table>'
            "</office:spreadsheet></office:body></office:document-content>",
        )


def write_deadly_xls(path: Path) -> None:
    """Write a workbook that kills its reader: its sheet has four thousand million rows."""
    content = bytearray((Path(__file__).parent / "data/errors.xls").read_bytes())
    content[content.rindex(b"\x00\x02\x0e\x00") + 11] = 252  # the record of its dimensions
    path.write_bytes(content)
