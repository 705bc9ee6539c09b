"""Reading hundreds of generated files: no row is lost, no cell changes its meaning, and what
cannot be read is one clear line."""

import gzip
import random

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_files import HEADER, ROWS, csv_text, ingest_params, write_ods, write_xlsx

from stages.lib.errors import UserError
from stages.lib.ledger import text_files
from stages.lib.ledger.reading import read_parts
from stages.lib.ledger.source import Source

# Among hundreds of texts some are addresses, which masking would change.
PARAMS = ingest_params("raw", mask=[])
CALM = {"deadline": None, "suppress_health_check": list(HealthCheck)}
FEW, MANY = settings(max_examples=40, **CALM), settings(max_examples=700, **CALM)

# What cells may hold: anything but characters of which ingest promises to make something else.
TEXT = st.text(
    st.one_of(
        st.sampled_from(",;|\t\"'\n ()-#=*0123456789aZ가나①（株）é€"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"),
    ),
    max_size=12,
)
AMOUNT = st.sampled_from(["1", "-2.50", "1,000.00", "(3)", "₩1,200", "12원"])
DATE = st.sampled_from(["2020-04-16", "16/04/2020", "20200416", "2020년 4월 16일"])
CODE = st.sampled_from(["0101", "2010", "4010"])
GOOD = st.tuples(DATE, TEXT, TEXT, AMOUNT, CODE, TEXT).map(list)
BAD = st.one_of(
    st.tuples(DATE, TEXT, TEXT, AMOUNT, st.just(" "), TEXT).map(list),
    st.just(["", "", "", "12.50", "", ""]),
    st.just([""] * 6),
    st.just(["합계", "", "", "12.50", "", ""]),
)


def read(path):
    """Return the taken rows, the rejects and the number of rows read."""
    parts = list(read_parts(Source([(path, path.name)], []), PARAMS))
    taken = pa.concat_tables(part.transactions for part in parts)
    rejects = pa.concat_tables(part.rejects for part in parts)
    cells = [list(row.values()) for row in taken.select(list(PARAMS.columns)).to_pylist()]
    return cells, rejects.to_pylist(), sum(part.sheet.rows_read for part in parts)


TEXT_FILES = given(
    rows=st.lists(st.tuples(st.booleans(), GOOD, BAD), min_size=1, max_size=12),
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    packed=st.booleans(),
    blocks=st.sampled_from([40, 300, 8_000_000]),
)


def no_cell_of_a_text_file_changes(
    tmp_path, monkeypatch, rows, delimiter, end, encoding, packed, blocks
):
    written = [good if is_good else bad for is_good, good, bad in rows]
    content = csv_text([HEADER, *written], delimiter, '"', end).encode(encoding)
    path = tmp_path / "ledger.csv"
    path.write_bytes(gzip.compress(content) if packed else content)
    monkeypatch.setattr(text_files, "BLOCK_CHARS", blocks)
    cells, rejects, rows_read = read(path)
    assert cells == [good for is_good, good, _ in rows if is_good]
    assert [reject["cells"] for reject in rejects] == [
        bad for is_good, _, bad in rows if not is_good
    ]
    assert rows_read == len(rows)


WORKBOOKS = given(
    rows=st.lists(GOOD, min_size=1, max_size=6),
    order=st.permutations(range(6)),
    above=st.lists(st.lists(st.sampled_from(["", "Ledger", "2020"]), max_size=3), max_size=4),
)


def no_cell_of_a_workbook_changes(tmp_path, rows, order, above):
    # XML has no word for most control characters; the writer of the test is no part of the case.
    rows = [["".join(c for c in cell if c >= " ") for cell in row] for row in rows]
    sheet = [[row[i] for i in order] for row in [HEADER, *rows]]
    write_xlsx(tmp_path / "ledger.xlsx", {"S": [*above, *sheet]})
    cells, rejects, rows_read = read(tmp_path / "ledger.xlsx")
    assert cells == rows
    assert rows_read == len(rows) + len(rejects) == len(rows) + len(above)


def damaged_files(folder):
    """Write the same ledger in many formats and return the bytes of each."""
    rows = [HEADER, *ROWS * 5]
    write_xlsx(folder / "a.xlsx", {"S": rows})
    write_ods(folder / "a.ods", rows)
    pa.parquet.write_table(
        pa.table({h: [row[i] for row in rows[1:]] for i, h in enumerate(HEADER)}),
        folder / "a.parquet",
    )
    text = csv_text(rows)
    return {
        **{name: (folder / name).read_bytes() for name in ("a.xlsx", "a.ods", "a.parquet")},
        "a.csv": text.encode(),
        "b.csv": text.encode("utf-16"),
        "c.csv": text.replace("é", "e").replace("è", "e").encode("cp949"),
        "a.csv.gz": gzip.compress(text.encode()),
    }


DAMAGED = given(
    name=st.sampled_from(["a.xlsx", "a.ods", "a.parquet", "a.csv", "b.csv", "c.csv", "a.csv.gz"]),
    seed=st.integers(0, 10**6),
    cut=st.floats(0, 1),
    flips=st.integers(0, 6),
)


def a_damaged_file_conserves_rows_or_fails_with_one_line(tmp_path, whole, name, seed, cut, flips):
    content = bytearray(whole[name])
    if cut < 0.5:
        content = content[: int(cut * 2 * len(content))]
    choose = random.Random(seed)
    for _ in range(flips if content else 0):
        content[choose.randrange(len(content))] = choose.randrange(256)
    path = tmp_path / name
    path.write_bytes(content)
    try:
        cells, rejects, rows_read = read(path)
    except UserError as error:
        assert "\n" not in str(error)
        assert name in str(error)
    else:
        assert rows_read == len(cells) + len(rejects)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return damaged_files(tmp_path_factory.mktemp("whole"))


test_no_cell_of_a_text_file_changes = FEW(TEXT_FILES(no_cell_of_a_text_file_changes))
test_no_cell_of_a_workbook_changes = FEW(WORKBOOKS(no_cell_of_a_workbook_changes))
test_a_damaged_file_conserves_rows_or_fails_with_one_line = FEW(
    DAMAGED(a_damaged_file_conserves_rows_or_fails_with_one_line)
)
test_hundreds_of_text_files = pytest.mark.slow(MANY(TEXT_FILES(no_cell_of_a_text_file_changes)))
test_hundreds_of_workbooks = pytest.mark.slow(MANY(WORKBOOKS(no_cell_of_a_workbook_changes)))
test_hundreds_of_damaged_files = pytest.mark.slow(
    MANY(DAMAGED(a_damaged_file_conserves_rows_or_fails_with_one_line))
)
