"""What one section of the parameters demands of another.

Used by `check`, the one stage that sees all sections.
"""

from collections.abc import Iterator
from types import SimpleNamespace

from stages.lib.contracts.names import AMOUNT_BUCKET, GROUP
from stages.lib.errors import UserError
from stages.lib.params.deepspeed import check_precision
from stages.lib.params.feature import check_columns
from stages.lib.params.tokenize import check_prompt_length


def _unknown_columns(key: str, names: list[str], known: list[str]) -> Iterator[UserError]:
    if unknown := [name for name in names if name not in known]:
        yield UserError(
            "unsuitable-column",
            f"params_train.yaml: {key}",
            f"no column {', '.join(unknown)}; expected some of {', '.join(known)}",
            "correct the names, or set it to null to choose by role",
        )


def _columns(p: SimpleNamespace) -> Iterator[UserError]:
    yield from check_columns(p.feature, p.ingest.roles)
    fields = p.feature.fields
    seen = [*dict.fromkeys([*fields, GROUP, AMOUNT_BUCKET])]  # never the account itself
    yield from _unknown_columns("baseline.lookup_columns", p.baseline.lookup_columns or [], seen)
    yield from _unknown_columns(
        "baseline.character_fields", p.baseline.character_fields or [], fields
    )
    described = [] if p.evaluate.description_field is None else [p.evaluate.description_field]
    yield from _unknown_columns("evaluate.description_field", described, fields)


def _labels(p: SimpleNamespace) -> Iterator[UserError]:
    if (
        p.preprocess.labels.masked_rule == "from_name"
        and "label_name" not in p.ingest.roles.values()
    ):
        yield UserError(
            "needs-column",
            "params.yaml: preprocess.labels.masked_rule",
            "from_name needs the account's name, and ingest.columns has no column of the role "
            "label_name",
            "add one, or set it to reject",
        )


def _other_formats(p: SimpleNamespace) -> Iterator[UserError]:
    roles = p.ingest.roles
    for place, entry in enumerate(p.preprocess.other_formats):
        allowed = [name for name, role in roles.items() if role in entry.roles]
        if unknown := [name for name in entry.columns or [] if name not in allowed]:
            yield UserError(
                "unsuitable-column",
                f"params.yaml: preprocess.other_formats[{place}].columns",
                f"{', '.join(unknown)}; expected columns of the role {' or '.join(entry.roles)}: "
                f"{', '.join(allowed) or 'there are none'}",
                "correct the names, or leave out columns: then the entry is for all of them",
            )


def _split(p: SimpleNamespace) -> Iterator[UserError]:
    needed = {"time": "date_column", "group": "group_column"}.get(p.split.strategy)
    if needed and getattr(p.feature, needed) is None:
        yield UserError(
            "needs-column",
            "params_train.yaml: split.strategy",
            f"{p.split.strategy} needs feature.{needed}, which is null",
            f"set feature.{needed}, or choose another strategy",
        )


def _quantized(p: SimpleNamespace) -> Iterator[UserError]:
    if p.model.quantize == "none":
        return
    where = "params_train.yaml: model.quantize"
    if not p.lora.enabled:
        yield UserError(
            "cannot-quantize",
            where,
            f"{p.model.quantize} freezes the weights, and lora.enabled is false: nothing would be "
            "trained",
            "set it to none, or lora.enabled to true",
        )
    if p.deepspeed.enabled and p.deepspeed.zero_optimization.stage == 3:
        yield UserError(
            "cannot-quantize",
            where,
            f"{p.model.quantize} weights cannot be divided among the ranks, as "
            "deepspeed.zero_optimization.stage: 3 would",
            "set it to none, or the stage to 2",
        )


def _packed(p: SimpleNamespace) -> Iterator[UserError]:
    tokens, longest = p.training.train_batch_tokens, p.tokenize.max_tokens
    if p.training.packed and (tokens is None or tokens < 2 * longest):
        yield UserError(
            "cannot-pack",
            "params_train.yaml: training.train_batch_tokens",
            f"{tokens or 'null'}; training.packed needs a number of tokens, at least 2 * "
            f"tokenize.max_tokens = {2 * longest}",
            "set it to 8192, or training.packed to false",
        )
    if p.training.compile and not p.training.packed:
        yield UserError(
            "cannot-compile",
            "params_train.yaml: training.compile",
            "needs training.packed: true, whose passes all have one shape",
            "set it to false, or training.packed to true",
        )
    packed = {"training": p.training.packed, "score": p.score.packed}
    for section in (name for name in packed if packed[name] and p.model.dtype != "bfloat16"):
        yield UserError(
            "cannot-pack",
            f"params_train.yaml: {section}.packed",
            f"needs model.dtype: bfloat16, got {p.model.dtype}",
            "set it to false",
        )


def check_agreement(p: SimpleNamespace) -> list[UserError]:
    """Return an error for each pair of sections that contradict each other.

    Parameters
    ----------
    p : SimpleNamespace
        All sections, each checked by its own model.
    """
    return [
        *_columns(p),
        *_labels(p),
        *_other_formats(p),
        *_split(p),
        *check_prompt_length(p.tokenize, p.feature.fields),
        *check_precision(p.deepspeed, p.model),
        *_quantized(p),
        *_packed(p),
    ]
