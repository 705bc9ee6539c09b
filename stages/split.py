"""Deal the rows of the base table to train, validation and test.

Reads data/feature/base.parquet and data/corrections.csv. Writes data/split: the rows of each side
as in the base table and in its order, and ``set_aside.parquet`` with ``row_id`` and the reason of
every other row; and metrics/split/report.json. Parameters: split, feature.fields,
feature.group_column, preprocess.labels.

Rows whose visible fields are all equal are one transaction to the model. They are never on two
sides. Where they are so many that they alone would move a figure of validation or test, they
train. Accounts with fewer than ``min_rows_per_account`` rows are set aside. All others are dealt at
random, so a rare account may be in the test alone. Its rows count as wrong, as they would in use.
Whole vendors or days stay together, so a side may miss its share: that is reported and printed.
Corrections that the ledger does not have follow the training rows. They change no other side.
Where most rows have a vendor text of their own, vendors are compared without their numbers.
"""

from functools import partial
from pathlib import Path

from stages.lib.contracts.feature import BASE
from stages.lib.model.vendor_words import vendor_field
from stages.lib.params.files import load_params
from stages.lib.params.said_accounts import AccountRules, FieldsAndVendor
from stages.lib.params.split import SplitParams
from stages.lib.process import run_stage
from stages.lib.review.corrections import first_of, read_corrections, usable_corrections
from stages.lib.split.checks import check_possible, check_promises, check_usable, find_remarks
from stages.lib.split.corrections import add_corrections
from stages.lib.split.deal import deal_rows
from stages.lib.split.report import make_report
from stages.lib.split.rows import read_plain_vendors, read_rows
from stages.lib.split.sides import write_sides
from stages.lib.split.vendors import merge_vendors
from stages.lib.tables import write_json

REPORT = Path("metrics/split/report.json")


def main() -> None:
    params = load_params(split=SplitParams, feature=FieldsAndVendor, preprocess=AccountRules)
    fields = params.feature.fields
    said, unused = usable_corrections(read_corrections(), fields, params.preprocess.labels)
    rows = read_rows(BASE, params.split.label_column, fields)
    check_possible(rows, params.split)
    remarks = []
    if params.split.strategy == "group":
        rows, remarks = merge_vendors(rows, partial(read_plain_vendors, BASE))
    dealt = deal_rows(rows, params.split)
    check_usable(rows, dealt, params.split)
    check_promises(rows, dealt)
    vendor = vendor_field(fields, params.feature.group_column)
    added = add_corrections(said, BASE, dealt, fields, vendor, params.split.strategy)
    remarks += find_remarks(rows, dealt, params.split) + first_of(unused + added.remarks)
    write_sides(BASE, dealt, added.rows)
    report = make_report(rows, dealt, remarks, added.counts)
    write_json(report, REPORT)
    counts = [f"{name} {side['rows']:,} rows" for name, side in report["sides"].items()]
    for remark in (", ".join(counts), *remarks):
        print(f"split: {remark}")


if __name__ == "__main__":
    run_stage(main)
