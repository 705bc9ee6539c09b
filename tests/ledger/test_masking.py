"""Personal data is masked in columns, refused rows, names of files, and messages."""

import pyarrow as pa
from ledger_files import (
    HEADER,
    ROWS,
    csv_text,
    ingest_params,
    names,
    places,
    read,
    write_xlsx,
)
from refusals import refused

from stages.lib.contracts.names import MASKED
from stages.lib.ledger.masking import mask_columns, mask_lists, mask_name

MAIL, PHONE = "kim@corp.com", "010-1234-5678"
PARAMS = ingest_params("raw")


def mask(rows: list[list[str]], **changes):
    columns = {
        name: pa.array([row[i] for row in rows], pa.string())
        for i, name in enumerate(PARAMS.columns)
    }
    hidden, counts = mask_columns(columns, ingest_params("raw", **changes), b"key")
    digests = hidden.pop(MASKED).to_pylist()
    return [list(r.values()) for r in pa.table(hidden).to_pylist()], digests, dict(counts)


def test_columns_are_masked_and_counted_and_accounts_and_amounts_are_not():
    rows = [
        ["2020-04-16", f"call {PHONE}", MAIL, "4111111111111111", "050-2010-4010", "X"],
        ["2020-04-17", "shop", "paper", "1", "0101", "X"],
    ]
    hidden, digests, counts = mask(rows, patterns={})
    assert hidden == [["2020-04-16", "call [phone]", "[email]", *rows[0][3:]], rows[1]]
    assert counts == {("vendor", "phone"): 1, ("memo", "email"): 1}
    assert len(digests[0]) == 32 and digests[1] == ""


def test_what_fits_the_pattern_of_its_column_is_not_personal():
    rows = [["2020-04-16", "050-2010-4010", "050-2010-4010", "1", "0101", "X"]]
    hidden, _, counts = mask(rows, patterns={"vendor": "[0-9]{3}-[0-9]{4}-[0-9]{4}"})
    assert hidden == [[*rows[0][:2], "[phone]", *rows[0][3:]]]
    assert counts == {("memo", "phone"): 1}
    assert mask(rows)[2] == {("memo", "phone"): 1, ("vendor", "phone"): 1}


def test_only_the_kinds_that_are_asked_for_are_masked():
    rows = [["2020-04-16", PHONE, MAIL, "1", "0101", "X"]]
    assert mask(rows, mask=["email"])[0] == [["2020-04-16", PHONE, "[email]", *rows[0][3:]]]
    assert mask(rows, mask=[])[:2] == (rows, [""])


def test_digests_are_equal_where_rows_are_and_need_the_key():
    rows = [["d", PHONE, "a", "1", "0101", "X"], ["d", PHONE, "b", "1", "0101", "X"]]
    _, digests, _ = mask([*rows, rows[0]])
    assert digests[0] == digests[2] != digests[1]
    columns = {name: pa.array([cell]) for name, cell in zip(PARAMS.columns, rows[0], strict=True)}
    other = mask_columns(columns, PARAMS, b"other key")[0][MASKED].to_pylist()
    assert other != digests[:1]


def test_lists_and_names_are_masked():
    assert mask_lists([["a", MAIL], [], [PHONE]], PARAMS).to_pylist() == [
        ["a", "[email]"], [], ["[phone]"]
    ]  # fmt: skip
    assert mask_name(f"{MAIL} a.xlsx", 2, PARAMS) == "[email] a.xlsx (2)"
    assert mask_name("a.xlsx", 2, PARAMS) == "a.xlsx"


def test_names_in_tables_and_reports_have_nothing_personal(tmp_path):
    """A masked name has its number, which tells it from others."""
    header = [*HEADER, f"call {PHONE}"]
    sheets = {f"of {MAIL}": [header, *ROWS], "of lee@corp.com": [[MAIL], header, *ROWS]}
    write_xlsx(tmp_path / f"{MAIL} a.xlsx", sheets)
    (tmp_path / f"{PHONE}.csv").write_text(csv_text([header, *[[*row, ""] for row in ROWS]]))
    (tmp_path / f"{MAIL} b.pdf").write_text("")
    found = read(tmp_path, files=["*.csv", "*.xlsx"])
    expected = [("[phone].csv (1)", ""), ("[email] a.xlsx (2)", "of [email] (1)"),
                ("[email] a.xlsx (2)", "of [email] (2)")]  # fmt: skip
    assert [(sheet["file"], sheet["sheet"]) for sheet in found.report["sheets"]] == expected
    origin = found.transactions.select(["source_file", "source_sheet"]).to_pylist()
    assert [tuple(row.values()) for row in origin] == [name for name in expected for _ in ROWS]
    (reject,) = found.rejects_table.to_pylist()
    assert (reject["source_file"], reject["source_sheet"]) == expected[2]
    assert reject["cells"] == ["[email]", *[""] * 6]
    not_used = {str(sheet["columns_not_used"]) for sheet in found.report["sheets"]}
    assert not_used == {"['call [phone]']"}
    assert found.report["files_not_read"] == ["[email] b.pdf"]


def test_messages_have_nothing_personal(tmp_path):
    header, path = [*HEADER, f"call {PHONE}"], tmp_path / f"{PHONE}.csv"
    rows = [[*row[:3], f"{PHONE} x", *row[4:], ""] for row in ROWS]
    path.write_text(csv_text([header, *rows]))
    with refused("column-not-found", "call [phone]"):
        read(tmp_path, columns=names(memo=["no such"]), min_content_match=0)
    with refused("column-content", "[phone].csv (1): ", "0 of 4", "'[phone] x'"):
        read(tmp_path)
    path.write_text(csv_text(rows))
    with refused("header-not-found", "| [phone] x |"):
        read(tmp_path)


def test_the_headings_of_what_may_be_no_header_are_masked(tmp_path):
    row = [*ROWS[0][:2], MAIL, *ROWS[0][3:]]
    (tmp_path / "a.csv").write_text(csv_text([row, *ROWS]))
    found = read(tmp_path, {"positions": places(), "header_row": 1})
    assert found.sheet["columns"]["memo"] == "3 ('[email]')"
