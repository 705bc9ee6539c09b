"""The model's input: a row keeps its id, its prompt and its label."""

import pyarrow as pa
from datasets import load_from_disk

from stages.lib.model.model_input import save_dataset, tokenize_rows
from stages.lib.model.prompt import encode_prompts


def test_a_row_keeps_its_id_and_its_account_is_a_number(tokenizer):
    table = pa.table(
        {
            "row_id": pa.array([5, 3], pa.int64()),
            "a": ["ttc", "여비"],
            "acct_code": ["0101", "unseen"],
        }
    )
    found, trimmed = tokenize_rows(tokenizer, table, ["a"], ["0100", "0101"], 96)
    assert found["label"].to_pylist() == [1, -1]  # no training row has the second account
    assert found["row_id"].to_pylist() == [5, 3]
    assert found["input_ids"].to_pylist() == encode_prompts(tokenizer, [["ttc", "여비"]], 96)[0]
    assert found["length"].to_pylist() == [len(ids) for ids in found["input_ids"].to_pylist()]
    assert trimmed == 0
    assert found.schema.types == [pa.int64(), pa.list_(pa.int32()), pa.int32(), pa.int32()]


def test_the_prompt_of_a_row_is_the_same_on_every_side(tokenizer):
    """Training and scoring see one prompt: it depends on the row's fields alone."""
    columns = {"row_id": pa.array([1], pa.int64()), "a": ["go train"], "acct_code": ["0101"]}
    alone, _ = tokenize_rows(tokenizer, pa.table(columns), ["a"], ["0101"], 96)
    columns = {"row_id": pa.array([8, 9]), "a": ["x", "go train"], "acct_code": ["1", "2"]}
    among, _ = tokenize_rows(tokenizer, pa.table(columns), ["a"], ["0101"], 96)
    assert alone["input_ids"][0] == among["input_ids"][1]


def test_trimmed_prompts_are_counted(tokenizer):
    table = pa.table({"row_id": [1, 2], "a": ["x" * 99, "ttc"], "acct_code": ["1", "1"]})
    found, trimmed = tokenize_rows(tokenizer, table, ["a"], ["1"], 9)
    assert trimmed == 1
    assert found["length"].to_pylist()[0] == 9


def test_the_bytes_of_a_dataset_follow_from_its_content(tmp_path):
    table = pa.table({"row_id": [1, 2, 3], "label": [0, 1, 0]})
    parts = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    written = []
    for name, content in {"one": table, "two": parts}.items():
        save_dataset(content, tmp_path / name)
        files = sorted((tmp_path / name).iterdir())
        written.append({path.name: path.read_bytes() for path in files})
    assert written[0] == written[1]
    assert load_from_disk(str(tmp_path / "one"))["row_id"][:] == [1, 2, 3]
