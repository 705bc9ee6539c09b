"""Write a review sheet as .xlsx: a sheet to work in, totals, what made it, and the accounts.

XlsxWriter keeps one row in memory. The bytes depend on the content alone.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa
from xlsxwriter import Workbook
from xlsxwriter.exceptions import FileCreateError
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from stages.lib.review.chart import account_choices
from stages.lib.review.columns import DECISIONS, Layout, own_schema, said_schema
from stages.lib.review.sheet_cells import CellWidths, sheet_cells, sheet_text
from stages.lib.review.totals import Totals

# XlsxWriter would take the clock.
_CREATED = datetime(2000, 1, 1)
_TEXT, _DAY, _AMOUNT, _SHARE = "@", "yyyy-mm-dd", "#,##0.00", "0.0%"
_TIME = "yyyy-mm-dd hh:mm:ss"
_INDENT = {"align": "left", "indent": 1}
_HEADER = {"bold": True, "bottom": 1}
_INPUT = {**_HEADER, "bg_color": "#D9D9D9"}
_OURS = {**_HEADER, "bg_color": "#1F4E78", "font_color": "#FFFFFF"}
_TO_FILL = {**_HEADER, "bg_color": "#FFC000"}
_COLOURS = {
    "post": {"bg_color": "#C6EFCE", "font_color": "#006100"},
    "review": {"bg_color": "#FFEB9C", "font_color": "#7F6000"},
    "refused": {"bg_color": "#FFC7CE", "font_color": "#9C0006"},
    "none": {"bg_color": "#EDEDED", "font_color": "#595959"},
}
_EVERYWHERE = "A1:XFD1048576"
_OPTIONS = {
    "constant_memory": True,
    "use_zip64": True,  # only where a part is over 4 GB
    "strings_to_formulas": False,
    "strings_to_numbers": False,
    "strings_to_urls": False,
}
# Rows that are turned into Python objects at once.
_ROWS_AT_ONCE = 2_000
# A column of a small table: its title and its width.
_Columns = Sequence[tuple[str, int]]


class _Sheet(Worksheet):
    """A worksheet that searches a text for control characters only if it may have any."""

    @staticmethod
    def _escape_control_characters(data: str) -> str:
        if data.isprintable() and "_x" not in data:
            return data
        return Worksheet._escape_control_characters(data)


class XlsxFile:
    """The workbook of a review sheet.

    Parameters
    ----------
    path : Path
        Its folder takes temporary files.
    layout : Layout
    words : mapping

    Attributes
    ----------
    cut : int
        Number of texts that were too long for a cell.
    """

    def __init__(self, path: Path, layout: Layout, words: Mapping) -> None:
        self.cut, self._rows, self._words = 0, 0, words
        self._book = Workbook(str(path), {**_OPTIONS, "tmpdir": str(path.parent)})
        self._book.set_properties({"created": _CREATED})
        names = words["sheets"]
        self._sheet, self._totals, self._made_by, accounts = (
            self._book.add_worksheet(names[name], _Sheet)
            for name in ("rows", "totals", "made_by", "accounts")
        )
        self._schema = said_schema(layout, words)
        self._inputs = len(layout.inputs)
        keys = own_schema(layout.fields).names
        self._places = {key: self._inputs + place for place, key in enumerate(keys)}
        kinds = self._kinds()
        self._formats = [self._format({"num_format": kind}) for kind in kinds]
        self._days = {place for place, kind in enumerate(kinds) if kind == _DAY}
        self._time = self._format({"num_format": _TIME})
        self._decisions = {key: self._format(_COLOURS[key]) for key in DECISIONS}
        self._to_fill = self._format({"num_format": _TEXT, "bg_color": "#FFF2CC"})
        self._widths = CellWidths(self._schema.names)
        self._write_header()
        choices = account_choices(layout.chart)
        self._choices = len(choices)
        # The drop-down is as wide as its column.
        self._widths.look_at(self._places["corrected"], choices)
        self._write_accounts(accounts, layout, choices)

    def _format(self, properties: dict) -> Format:
        # Else a text touches the number on its left.
        text = properties.get("num_format", _TEXT) == _TEXT
        return self._book.add_format({**(_INDENT if text else {}), **properties})

    def _kinds(self) -> list[str]:
        chances = {self._places[f"probability{end}"] for end in ("", "_2", "_3")}
        kinds = []
        for place, field in enumerate(self._schema):
            type_ = field.type[0].type if pa.types.is_struct(field.type) else field.type
            if pa.types.is_date(type_):
                kinds.append(_DAY)
            elif pa.types.is_integer(type_):
                kinds.append("0")
            elif pa.types.is_floating(type_):
                kinds.append(_SHARE if place in chances else _AMOUNT)
            else:
                kinds.append(_TEXT)
        return kinds

    def _write_header(self) -> None:
        for place, format_ in enumerate(self._formats):  # cells without a format take this one
            self._sheet.set_column(place, place, None, format_)
        styles = [*[_INPUT] * self._inputs, *[_OURS] * len(self._places)]
        styles[self._places["corrected"]] = _TO_FILL
        made = {id(style): self._format(style) for style in (_INPUT, _OURS, _TO_FILL)}
        for place, (title, style) in enumerate(zip(self._schema.names, styles, strict=True)):
            self._sheet.write_string(0, place, sheet_text(title), made[id(style)])

    def _write_accounts(self, sheet: Worksheet, layout: Layout, choices: list[str]) -> None:
        words, titles = self._words["accounts"], self._words["titles"]
        columns = [(words["choice"], 50), (titles["acct_code"], 14), (titles["acct_name"], 50)]
        self._start_table(sheet, columns)
        for row, choice in enumerate(choices, 1):
            sheet.write_string(row, 0, sheet_text(choice))
            if row <= len(layout.chart):
                for place, text in enumerate(layout.chart[row - 1], 1):
                    sheet.write_string(row, place, sheet_text(text))

    def write(self, said: pa.Table, decisions: Sequence[str]) -> None:
        """Add rows.

        Parameters
        ----------
        said : Table
            As `say_batch` makes it.
        decisions : sequence of str
            The decision of each row, one of `DECISIONS`.
        """
        self._widths.add(said)
        for start in range(0, said.num_rows, _ROWS_AT_ONCE):
            self._write_rows(
                said.slice(start, _ROWS_AT_ONCE), decisions[start : start + _ROWS_AT_ONCE]
            )

    def _write_rows(self, said: pa.Table, decisions: Sequence[str]) -> None:
        columns, writers = [], []
        for column in said.columns:
            values, cut = sheet_cells(column)
            self.cut += cut
            columns.append(values)
            text = pa.types.is_string(column.type)
            writers.append(self._sheet.write_string if text else self._write_number)
        decision, corrected = self._places["decision"], self._places["corrected"]
        formats = [self._decisions[key] for key in decisions]
        columns[decision] = list(zip(columns[decision], formats, strict=True))
        writers[decision] = self._write_formatted
        # Only a row with a key can be taught.
        keyed = zip(columns[corrected], columns[self._places["key"]], strict=True)
        columns[corrected] = [(text, self._to_fill) if key else text for text, key in keyed]
        writers[corrected] = self._write_formatted
        cells = list(enumerate(writers))
        for number, row in enumerate(zip(*columns, strict=True), self._rows + 1):
            for (place, write), value in zip(cells, row, strict=True):
                if value is not None and value != "":
                    write(number, place, value)
        self._rows += said.num_rows

    def _write_number(self, row: int, place: int, value: object) -> None:
        if isinstance(value, str):  # a day or number that a spreadsheet does not have
            self._sheet.write_string(row, place, value)
        elif place in self._days and isinstance(value, float):
            self._sheet.write_number(row, place, value, self._time)
        else:
            self._sheet.write_number(row, place, value)

    def _write_formatted(self, row: int, place: int, cell: object) -> None:
        text, format_ = cell if isinstance(cell, tuple) else (cell, None)
        if text:
            self._sheet.write_string(row, place, text, format_)
        else:
            self._sheet.write_blank(row, place, None, format_)

    def finish(self, totals: Totals, made_by: Sequence[tuple[str, object]]) -> None:
        """End the file, with the other sheets.

        Parameters
        ----------
        totals : Totals
        made_by : sequence of (str, object)
            What made the sheet: names with a text or a number.
        """
        self._finish_rows()
        self._write_totals(totals)
        words = self._words["made_by"]
        self._start_table(self._made_by, [(words["what"], 40), (words["value"], 90)])
        for row, (name, value) in enumerate(made_by, 1):
            self._made_by.write_string(row, 0, sheet_text(name))
            number = isinstance(value, int | float) and not isinstance(value, bool)
            write = self._made_by.write_number if number else self._made_by.write_string
            write(row, 1, value if number else sheet_text(str(value)))
        try:
            self._book.close()
        except FileCreateError as error:
            raise error.args[0] from None

    def _finish_rows(self) -> None:
        sheet, last = self._sheet, len(self._formats) - 1
        behind = range(self._places["seen_date"], last + 1)
        for place, width in enumerate(self._widths.of_columns()):
            # They are hidden behind the sign [+], and are sorted with the other columns.
            options = {"level": 1, "hidden": True} if place in behind else {}
            sheet.set_column(place, place, width, self._formats[place], options)
        sheet.set_column(last + 1, last + 1, None, None, {"collapsed": True})
        sheet.freeze_panes(1, 0)
        sheet.autofilter(0, 0, self._rows, last)
        sheet.set_landscape()
        sheet.repeat_rows(0)
        sheet.ignore_errors({"number_stored_as_text": _EVERYWHERE})
        if not self._rows or not self._choices:
            return
        name = self._words["sheets"]["accounts"].replace("'", "''")
        words, place = self._words["accounts"], self._places["corrected"]
        rule = {
            "validate": "list",
            "source": f"='{name}'!$A$2:$A${self._choices + 1}",
            "error_type": "warning",
            "error_title": words["unknown"],
            "error_message": words["unknown_text"],
        }
        sheet.data_validation(1, place, self._rows, place, rule)

    def _start_table(self, sheet: Worksheet, columns: _Columns) -> None:
        header, text = self._format(_INPUT), self._format({"num_format": _TEXT})
        for place, (title, width) in enumerate(columns):
            sheet.set_column(place, place, width, text)
            sheet.write_string(0, place, title, header)
        sheet.freeze_panes(1, 0)
        sheet.fit_to_pages(1, 0)
        sheet.ignore_errors({"number_stored_as_text": _EVERYWHERE})

    def _write_totals(self, totals: Totals) -> None:
        sheet, words = self._totals, self._words["totals"]
        count, amount = (self._format({"num_format": kind}) for kind in ("#,##0", _AMOUNT))
        numbers = [(words["rows"], 12), (words["amount"], 18)]
        columns = [(words["acct_code"], 14), (words["acct_name"], 40), (words["decision"], 14)]
        self._start_table(sheet, [*columns, *numbers])
        lines = [("", words["all"], decision) for decision in (*DECISIONS, None)]
        lines += [
            (account, totals.names.get(account, words["no_account"]), decision)
            for account in totals.accounts()
            for decision in DECISIONS
            if totals.rows[account, decision]
        ]
        for row, (account, name, decision) in enumerate(lines, 1):
            if account:
                sheet.write_string(row, 0, sheet_text(account))
            sheet.write_string(row, 1, sheet_text(name))
            if decision:
                said = self._words["decisions"][decision]
                sheet.write_string(row, 2, said, self._decisions[decision])
            rows, total = totals.of(None if row <= len(DECISIONS) + 1 else account, decision)
            sheet.write_number(row, 3, rows, count)
            sheet.write_number(row, 4, total, amount)
        sheet.autofilter(0, 0, len(lines), len(columns) + len(numbers) - 1)

    def close(self) -> None:
        """Release the file: XlsxWriter writes it in `finish` alone."""
