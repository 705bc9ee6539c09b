"""What `feature` hands on: the base table, and how its rows were made.

The columns of the base table, in this order:

===================================  ==========  ==================================================
row_id                               int64       0, 1, 2, ... in the order of the ledger
source_file, source_sheet            dictionary  where the row came from
source_row                           int32       its row in the sheet (1-based)
one for each of ``feature.fields``   string      what the model may see; never null, "" if empty
date                                 date32      null if the ledger has none
amount                               float64     null if the ledger has none
amount_bucket                        string      the amount as a word such as "<50"; "" if none
group                                string      the vendor; "" if the ledger has none
acct_code                            string      the label
===================================  ==========  ==================================================

A field that is also one of the last columns (amount_bucket, group) is in the table once.
"""

from pathlib import Path

BASE = Path("data/feature/base.parquet")
# {"roles": {visible field: role}, "made_with": {"section.key": value}}: the role of amount_bucket
# and of group is its own name; the keys are those that shape a row.
ROWS = Path("data/feature/rows.json")
