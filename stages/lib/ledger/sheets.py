"""What reading has seen of one sheet."""

from collections import Counter
from dataclasses import dataclass, field

from stages.lib.ledger.content import Content
from stages.lib.ledger.csv_records import Dialect
from stages.lib.ledger.headers import Layout
from stages.lib.ledger.privacy import mask_personal
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
    rows_read : int
    reasons : Counter of str
        Rows that are not transactions, by reason.
    masked : Counter of (str, str)
        Cells with personal data, by column and kind.
    content : dict of str to Content
        By column.
    vocabulary : dict of str to Counter
        The most frequent values of each column at the beginning of the sheet.
    """

    file: str
    name: str
    layout: Layout
    dialect: Dialect | None = None
    has_checksums: bool = True
    rows_read: int = 0
    reasons: Counter = field(default_factory=Counter)
    masked: Counter = field(default_factory=Counter)
    content: dict[str, Content] = field(default_factory=dict)
    vocabulary: dict[str, Counter] = field(default_factory=dict)

    def add(self, other: "Sheet") -> None:
        """Add a later part of the same sheet."""
        self.rows_read += other.rows_read
        self.reasons += other.reasons
        self.masked += other.masked
        for name, (filled, right, wrong) in other.content.items():
            before = self.content.get(name, Content(0, 0, ""))
            self.content[name] = Content(
                before.filled + filled, before.right + right, before.wrong or wrong
            )

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
