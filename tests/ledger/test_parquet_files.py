"""Parquet files of any tool are read, with a remark where nothing would show damage."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ledger_files import HEADER, ROWS, read
from refusals import refused

from stages.lib.ledger.parquet_files import (
    batch_records,
    column_names,
    has_page_checksums,
    read_batches,
)

TEXTS = [[row[i] for row in ROWS] for i in range(6)]


def write(path: Path, columns: list, **options) -> Path:
    names = [*HEADER, "more"][: len(columns)]
    pq.write_table(pa.table(columns, names), path, **options)
    return path


def test_cells_mean_what_they_meant(tmp_path):
    columns = [
        pa.array([1587000000123456789, 1587081600000000000], pa.timestamp("ns")),
        pa.array(["한빛".encode(), b"NA"], pa.binary()).dictionary_encode(),
        pa.array([b"abc", None], pa.binary(3)),
        pa.array([12.1, 1e-7], pa.float32()),
        pa.array([101.0, 2010.0], pa.float16()),
        pa.array([float("inf"), float("nan")]),
    ]
    write(tmp_path / "a.parquet", columns)
    assert read(tmp_path, patterns={}).cells == [
        ["2020-04-16 01:20:00", "한빛", "abc", "12.1E0", "101", "Infinity"],
        ["2020-04-17", "NA", "", "0.0000001E0", "2010", ""],
    ]


def test_bytes_that_are_no_text_are_refused_in_a_column_that_is_used(tmp_path):
    blob = pa.array([b"caf\xe9"] * 4)
    path = write(tmp_path / "a.parquet", [*TEXTS, blob])
    assert read(tmp_path).cells == ROWS
    (batch,) = read_batches(path, None)
    assert batch_records(path, batch, 1, set()).rows[0][6] == "caf\\xe9"
    with refused("column-of-bytes", str(path)):
        batch_records(path, batch, 1, {6})
    write(path, [TEXTS[0], blob, *TEXTS[2:]])
    with refused("column-of-bytes", str(path)):
        read(tmp_path)


def test_lists_with_bytes_and_nul_characters(tmp_path):
    nested = pa.array([[{"image": b"\xff"}]] * 4)
    write(tmp_path / "a.parquet", [TEXTS[0], pa.array(["a\0b", "\0", "", "c"]), *TEXTS[2:], nested])
    assert [row[1] for row in read(tmp_path).cells] == ["ab", "", "", "c"]


def test_rows_are_numbered_over_all_batches(tmp_path):
    path = write(tmp_path / "a.parquet", TEXTS, row_group_size=3)
    assert column_names(path) == (HEADER, 4)
    batches = list(read_batches(path, 2))
    assert sum(map(len, batches)) == 4
    assert max(map(len, batches)) == 2
    assert batch_records(path, batches[1], 3, {0}).lines[0] == 3
    assert [len(batch) for batch in read_batches(path, None)] == [4]


def test_a_file_without_rows_is_one_empty_batch(tmp_path):
    path = write(tmp_path / "a.parquet", [pa.array([], pa.string())] * 6)
    (batch,) = read_batches(path, 10)
    assert (len(batch), batch.schema.names) == (0, HEADER)
    assert has_page_checksums(path)


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.99])
def test_a_truncated_file_is_named(tmp_path, cut):
    path = write(tmp_path / "a.parquet", TEXTS)
    content = path.read_bytes()
    path.write_bytes(content[: int(cut * len(content))])
    for function in (column_names, has_page_checksums, lambda path: list(read_batches(path, 9))):
        with refused("damaged-file", str(path)):
            function(path)
    with refused("damaged-file", str(path)):
        read(tmp_path)


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("use_dictionary", [False, True])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("written", [False, True])
def test_checksums_are_seen(tmp_path, compression, use_dictionary, version, written):
    path = write(
        tmp_path / "a.parquet",
        TEXTS,
        compression=compression,
        use_dictionary=use_dictionary,
        data_page_version=version,
        write_page_checksum=written,
    )
    assert has_page_checksums(path) == written


def test_a_file_without_checksums_is_read_with_a_remark(tmp_path):
    write(tmp_path / "a.parquet", TEXTS)
    found = read(tmp_path)
    assert found.cells == ROWS
    assert len(found.remarks) == 1 and found.remarks[0].startswith("a.parquet: ")
    assert found.report["remarks"] == found.remarks
    write(tmp_path / "a.parquet", TEXTS, write_page_checksum=True)
    found = read(tmp_path)
    assert found.remarks == [] and "remarks" not in found.report


def test_where_pages_have_checksums_a_changed_byte_is_noticed(tmp_path):
    options = {"write_page_checksum": True, "compression": "none", "write_statistics": False}
    path = write(tmp_path / "a.parquet", TEXTS, **options)
    content = path.read_bytes()
    assert content.count(b"TRAVEL") == 1
    path.write_bytes(content.replace(b"TRAVEL", b"GRAVEL"))
    with refused("damaged-file", str(path)):
        read(tmp_path)
