"""What reading has seen of one sheet."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date

from stages.lib.ledger.broken_letters import Broken
from stages.lib.ledger.content import Content
from stages.lib.ledger.csv_records import Dialect
from stages.lib.ledger.day_counts import DAY_ZERO
from stages.lib.ledger.headers import Layout
from stages.lib.ledger.privacy import mask_personal
from stages.lib.ledger.wrapping import Wrapped
from stages.lib.params.ingest import IngestParams


@dataclass
class Sheet:
    """What was seen in one sheet, or in a part of it; parts are added up.

    Attributes
    ----------
    file, name : str
        As in the tables, so without personal data; `name` is "" for a file without sheets.
    layout : Layout
    dialect : Dialect or None
        Of a text file.
    has_checksums : bool
        False for a parquet file whose pages have none.
    state : str
        "visible", "hidden" or "very hidden".
    rows_read : int
    rows_hidden : int
        Hidden rows that are transactions, or would be if they were not left out.
    days_counted : int
        Plain numbers in date columns that were read as days since `day_zero`.
    day_zero : date
        The day from which the workbook counts days.
    reasons : Counter of str
        Rows that are not transactions, by reason.
    masked : Counter of (str, str)
        Cells with personal data, by column and kind.
    content : dict of str to Content
        By column.
    vocabulary : dict of str to Counter
        The most frequent values of each column at the beginning of the sheet.
    filling : Counter of (str, str)
        Cells by column, and whether they were filled from above: see `filling.Filled`.
    wrapped : Wrapped
        Refused rows that look as if they had the rest of a text.
    parents : set of (str, str)
        Accounts and their parents, if the account is the last of several columns.
    unused : dict of str to Counter
        The same for each column that no name fits, where columns are lacking.
    broken : dict of str to Broken
        Cells with broken letters, by kind.
    """

    file: str
    name: str
    layout: Layout
    dialect: Dialect | None = None
    has_checksums: bool = True
    state: str = "visible"
    rows_read: int = 0
    rows_hidden: int = 0
    days_counted: int = 0
    day_zero: date = DAY_ZERO
    reasons: Counter = field(default_factory=Counter)
    masked: Counter = field(default_factory=Counter)
    content: dict[str, Content] = field(default_factory=dict)
    vocabulary: dict[str, Counter] = field(default_factory=dict)
    filling: Counter = field(default_factory=Counter)
    wrapped: Wrapped = field(default_factory=Wrapped)
    parents: set[tuple[str, str]] = field(default_factory=set)
    unused: dict[str, Counter] = field(default_factory=dict)
    broken: dict[str, Broken] = field(default_factory=dict)

    def add(self, other: "Sheet") -> None:
        """Add a later part of the same sheet."""
        self.rows_read += other.rows_read
        self.rows_hidden += other.rows_hidden
        self.days_counted += other.days_counted
        self.reasons += other.reasons
        self.masked += other.masked
        self.filling += other.filling
        self.wrapped = self.wrapped.plus(other.wrapped)
        self.parents |= other.parents
        for name, (filled, right, *wrong) in other.content.items():
            before = self.content.get(name, Content(0, 0, ""))
            wrong = before[2:] if before.wrong else wrong
            self.content[name] = Content(before.filled + filled, before.right + right, *wrong)
        for kind, (cells, example) in other.broken.items():
            before = self.broken.get(kind, Broken(0, example))
            self.broken[kind] = before._replace(cells=before.cells + cells)

    @property
    def where(self) -> str:
        """The file and the sheet, for messages."""
        return f"{self.file}, sheet '{self.name}'" if self.name else self.file

    def heading(self, column: str, params: IngestParams) -> str:
        """Return where `column` is: its number (1-based), and its header cell if it has one."""
        place = self.layout.places[column]
        header = self.layout.header[place].strip() if place < len(self.layout.header) else ""
        # A row that was taken for the header may be a transaction.
        header = mask_personal(header, params.mask)[0]
        return f"{place + 1} ({header!r})" if header else str(place + 1)
