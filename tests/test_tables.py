"""Files appear whole or not at all, and damage is noticed."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from refusals import refused

from stages.lib import tables
from stages.lib.errors import UserError


@pytest.fixture
def table():
    return pa.table(
        {
            "number": pa.array(range(1000), pa.int64()),
            "text": [f"가나 {i % 7}" for i in range(1000)],
            "file": pa.array([f"f{i // 500}" for i in range(1000)]).dictionary_encode(),
        }
    )


def test_a_table_comes_back_with_its_types(tmp_path, table):
    tables.write_table(table, tmp_path / "new/t.parquet")
    assert tables.read_table(tmp_path / "new/t.parquet").equals(table)
    assert tables.read_table(tmp_path / "new/t.parquet", ["text"]).column_names == ["text"]
    assert os.listdir(tmp_path / "new") == ["t.parquet"]


def test_bytes_do_not_depend_on_how_rows_arrive(tmp_path, table, monkeypatch):
    monkeypatch.setattr(tables, "ROWS_PER_GROUP", 64)
    tables.write_table(table, tmp_path / "a")
    with tables.table_writers({tmp_path / "b": table.schema}) as (writer,):
        for start in range(0, 1000, 37):
            writer.write(table.slice(start, 37))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with tables.open_table(tmp_path / "a") as file:
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert sizes == [64] * 15 + [40]
    assert tables.read_group(tmp_path / "a", 15)["number"].to_pylist() == list(range(960, 1000))


def test_an_empty_table_keeps_its_schema(tmp_path, table):
    tables.write_table(table.slice(0, 0), tmp_path / "t")
    assert tables.read_table(tmp_path / "t").schema == table.schema


def test_an_error_leaves_the_old_file(tmp_path, table):
    path = tmp_path / "t"
    tables.write_table(table, path)
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError), tables.table_writers({path: table.schema}) as (writer,):
        writer.write(table)
        raise ZeroDivisionError
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["t"]


def test_files_appear_together_or_not_at_all(tmp_path, table):
    one, two = tmp_path / "one", tmp_path / "two"
    with tables.table_writers({one: table.schema, two: table.schema}) as (first, second):
        first.write(table)
        second.write(table.slice(9))
        assert not one.exists()
    assert tables.read_table(two).num_rows == 991
    before = one.read_bytes()
    with (
        refused("cannot-write", str(one), str(two), "no space"),
        tables.table_writers({one: table.schema, two: table.schema}) as (first, second),
    ):
        first.write(table.slice(5))
        raise OSError("no space")
    assert one.read_bytes() == before


def test_a_folder_that_cannot_be_written(tmp_path, table):
    (tmp_path / "file").write_text("")
    with refused("cannot-write", "file/t"):
        tables.write_table(table, tmp_path / "file" / "t")


def test_every_flipped_bit_is_noticed_or_harmless(tmp_path, table):
    path = tmp_path / "stage/t.parquet"
    tables.write_table(table, path)
    whole = path.read_bytes()
    choose = np.random.default_rng(0)
    noticed = 0
    for place in choose.integers(4, len(whole), 200):
        broken = bytearray(whole)
        broken[place] ^= 1 << int(choose.integers(8))
        path.write_bytes(broken)
        try:
            found = tables.read_table(path)
        except UserError as error:
            noticed += 1
            assert error.code == "damaged-file"
            assert error.where == str(path)
            assert "dvc repro stage" in error.action
        else:
            assert found.to_pylist() == table.to_pylist()
    assert noticed > 50


def test_a_flipped_bit_of_the_footer_never_reaches_pyarrow(tmp_path, table):
    path = tmp_path / "stage/t.parquet"
    tables.write_table(table.select(["text"]), path)
    whole = path.read_bytes()
    # pyarrow aborts the process over some of these.
    start = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for place in range(start * 8, len(whole) * 8, 5):
        broken = bytearray(whole)
        broken[place // 8] ^= 1 << place % 8
        path.write_bytes(broken)
        with refused("damaged-file", "t.parquet"):
            tables.read_table(path)


@pytest.mark.parametrize("options", [{}, {"write_page_index": True}, {"use_dictionary": False}])
def test_a_table_of_another_tool_is_read_with_a_remark(tmp_path, table, options, capsys):
    path = tmp_path / f"t{len(options)}.parquet"
    pq.write_table(table, path, **options)
    assert tables.read_table(path).equals(table)
    assert tables.read_group(path, 0).equals(table)
    assert capsys.readouterr().err.count(str(path)) == 1
    pq.write_table(table.slice(0, 0), tmp_path / "empty.parquet", **options)
    assert tables.read_table(tmp_path / "empty.parquet").num_rows == 0


def test_an_own_table_is_read_without_a_remark(tmp_path, table, capsys):
    for name, rows in (("whole", 1000), ("empty", 0)):
        tables.write_table(table.slice(0, rows), tmp_path / name)
        tables.read_table(tmp_path / name)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("rows", [0, 1000])
def test_a_flipped_bit_in_the_footer_of_an_own_table_is_no_other_tool(tmp_path, table, rows):
    path = tmp_path / "t.parquet"
    tables.write_table(table.slice(0, rows), path)
    broken = bytearray(path.read_bytes())
    place = broken.rindex(b"number")
    broken[place] ^= 1
    path.write_bytes(broken)
    with refused("damaged-file", "t.parquet"):
        tables.read_table(path)


def test_truncated_and_missing_files_name_the_stage(tmp_path, table):
    path = tmp_path / "split/t.parquet"
    with refused("file-not-found", "dvc repro split"):
        tables.read_table(path)
    tables.write_table(table, path)
    path.write_bytes(path.read_bytes()[:-100])
    with refused("damaged-file", "t.parquet", "dvc repro split"):
        tables.read_table(path)


def test_a_folder_that_may_not_be_looked_into_is_named(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refuse)
    with refused("damaged-file", "t.parquet", "Permission denied"):
        tables.read_table(tmp_path / "split/t.parquet")


def test_a_missing_column_is_named(tmp_path, table):
    tables.write_table(table, tmp_path / "t")
    with refused("no-column", "colour", "number, text, file"):
        tables.read_table(tmp_path / "t", ["colour"])


def test_json_is_readable_and_strict(tmp_path):
    path = tmp_path / "a.json"
    tables.write_json({"b": "한글", "a": [1.5, None]}, path)
    assert path.read_text() == '{\n  "b": "한글",\n  "a": [\n    1.5,\n    null\n  ]\n}\n'
    assert tables.read_json(path) == {"b": "한글", "a": [1.5, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        tables.write_json({"a": float("nan")}, path)
    assert json.loads(path.read_text())["b"] == "한글"
    path.write_text("{")
    with refused("damaged-file", "a.json"):
        tables.read_json(path)


def test_digests_are_equal_where_all_columns_are():
    rows = pa.table({"a": ["x", "x", "", "xy", "x"], "b": ["y", "y", "xy", "", ""]})
    digests = tables.row_digests(rows, ["a", "b"])
    assert tables.number_groups(digests).tolist() == [0, 0, 2, 3, 4]
    assert tables.number_groups(tables.row_digests(rows, ["b"])).tolist() == [0, 0, 2, 3, 3]


def test_groups_equal_a_dictionary():
    values = np.random.default_rng(1).integers(0, 50, 500)
    first = {}
    expected = [first.setdefault(value, place) for place, value in enumerate(values.tolist())]
    digests = tables.row_digests(pa.table({"a": [str(v) for v in values]}), ["a"])
    assert tables.number_groups(digests).tolist() == expected
