"""Names of the columns that the pipeline makes itself. A ledger's columns have other names."""

# Where a row came from: the file below ingest.source, its sheet ("" if it has none), and the number
# of the row there (1-based).
ORIGIN = ("source_file", "source_sheet", "source_row")
# A digest of what was masked in a row, and of other cells where only they tell the lines of one
# document apart ("" for nothing): rows that differ only there are different.
MASKED = "masked"
# The number of a row in the base table.
ROW_ID = "row_id"
DATE, AMOUNT, LABEL = "date", "amount", "acct_code"
# The vendor, and the amount as a word such as "<50".
GROUP, AMOUNT_BUCKET = "group", "amount_bucket"
# Columns of the base table that are not visible fields.
OWN = (ROW_ID, *ORIGIN, DATE, AMOUNT, LABEL)
# Columns that the ledger must not have.
RESERVED = (*ORIGIN, MASKED, ROW_ID, AMOUNT_BUCKET, GROUP)
# The sides of the split.
SIDES = ("train", "val", "test")
