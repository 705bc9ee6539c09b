"""What `tokenize` hands to `train` and `score`.

One Hugging Face dataset a side, with ``row_id`` int64; ``input_ids``, list of int32; ``label``
int32, the position of the row's account in the label map, -1 if it has no training row; ``length``
int32, in tokens. Beside them the label map: ``{"prompt": {"version", "fields", "max_tokens"},
"accounts": [{"acct_code", "acct_name", "train_rows", "token", "token_id"}, ...]}``, whose prompt
also has "beginning", a list of tokens, if the base model's texts begin with some.
"""

from pathlib import Path

FOLDER = Path("data/tokenize")
LABEL_MAP = "label_map.json"
