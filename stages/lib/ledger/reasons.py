"""Why a row is not a transaction."""

BLANK, SUBTOTAL, REPEATED_HEADER = "blank row", "subtotal", "repeated header"
HEADING, JOINED = "heading", "joined to the row above"
# Rows that the user does not want: see `hidden` in ``ingest.reading``.
HIDDEN_ROW, HIDDEN_SHEET = "hidden row", "hidden sheet"
# Rows that are not transactions: they are counted and kept, but say nothing about the data.
NOT_TRANSACTIONS = (
    *(BLANK, SUBTOTAL, REPEATED_HEADER, "above the header", HEADING, JOINED),
    *(HIDDEN_ROW, HIDDEN_SHEET),
)  # fmt: skip
# What follows such a row would be read from the wrong columns.
MOVED_HEADER = "header of other columns"
# A line that could not be read.
STRAY_QUOTE = "stray quote"
# Text that would be joined to the row above it, if that were a transaction.
LONE_TEXT = "text without its row"
# Begins the reason of a row where a part of the account has ingest.label_separator in it.
SEPARATOR_IN = "separator in"
