"""The report on a split."""

import numpy as np

from stages.lib.contracts.names import SIDES
from stages.lib.split.likeness import account_distance, vendors_by_rows
from stages.lib.split.rows import Rows
from stages.lib.split.sides import ASIDE, TEST, TRAIN, VAL, Dealt, share_sides


def make_report(
    rows: Rows, dealt: Dealt, remarks: list[str], corrections: dict[str, int] | None = None
) -> dict:
    """Return rows, accounts, vendors and dates of each side, and how far the sides are alike.

    The sides are those of the ledger; `corrections` counts what became of corrections, if there
    are any.
    """
    shares = share_sides(dealt.side)
    sides = {
        name: _describe_side(rows, dealt.side == number, float(shares[number]))
        for number, name in enumerate(SIDES)
    }
    distance, by_chance = account_distance(rows.label, dealt.side)
    return {
        "rows": len(dealt.side),
        "remarks": remarks,
        "rows_without_vendor": int((rows.vendor < 0).sum()),
        "rows_of_large_blocks_to_train": int(dealt.blocks.sum()),
        "set_aside": {
            reason: int((dealt.aside == number).sum()) for number, reason in enumerate(ASIDE)
        },
        "sides": sides,
        "accounts_of_val_and_test": {
            "distance": round(distance, 4),
            "distance_by_chance": round(by_chance, 4),
        },
        "border": _compare_with_train(rows, dealt.side, VAL)
        | _compare_with_train(rows, dealt.side, TEST),
        **({"corrections": corrections} if corrections else {}),
    }


def _describe_side(rows: Rows, here: np.ndarray, share: float) -> dict:
    dates = rows.date[here & ~np.isnat(rows.date)]
    vendors = rows.vendor[here & (rows.vendor >= 0)]
    return {
        "rows": int(here.sum()),
        "share": round(share, 6),
        "accounts": len(np.unique(rows.label[here])),
        "vendors": len(np.unique(vendors)),
        "vendors_by_rows_in_ledger": vendors_by_rows(rows.vendor, here),
        "rows_of_the_largest_block": int(np.bincount(rows.same[here]).max()),
        "first_date": str(dates.min()) if len(dates) else None,
        "last_date": str(dates.max()) if len(dates) else None,
    }


def _compare_with_train(rows: Rows, side: np.ndarray, number: int) -> dict[str, int]:
    """Return the rows of a side whose fields, letters, account or vendor train has or lacks."""

    def in_train(values: np.ndarray) -> np.ndarray:
        return np.isin(values[side == number], values[side == TRAIN])

    name, vendor_known = SIDES[number], rows.vendor[side == number] >= 0
    return {
        f"{name}_rows_identical_to_train": int(in_train(rows.same).sum()),
        f"{name}_rows_alike_but_for_digits": int(in_train(rows.alike).sum()),
        f"{name}_rows_of_unseen_accounts": int((~in_train(rows.label)).sum()),
        f"{name}_rows_of_unseen_vendors": int((vendor_known & ~in_train(rows.vendor)).sum()),
    }
