"""A small ledger: Hangul, leading zeros, an account with one row."""

import csv
import random
from pathlib import Path

# account, its name, and what is bought from whom: Hangul, a leading zero, an account seen once
ACCOUNTS = {
    "0101": ("PARKING", ["GREEN P", "IMPARK 24", "주차장 강남"], ["parking at site", "주차 요금"]),
    "2010": ("OFFICE SUPPLIES", ["STAPLES #12", "GRAND & TOY"], ["toner", "paper, A4", "펜"]),
    "2020": ("PRINTING & PAPER", ["알파문구", "KWIK KOPY"], ["banners", "인쇄물"]),
    "4010": ("여비 교통비", ["대한항공", "VIA RAIL", "택시"], ["출장", "site visit"]),
    "4110": ("복리후생비 - 식대", ["김밥천국", "TIM HORTONS"], ["회식", "team lunch"]),
    "5999": ("", ["MISC VENDOR"], ["sundry"]),
}
HEADER = [
    "Batch-Transaction ID",
    "Transaction Date",
    "Merchant Name",
    "Transaction Amt.",
    "G/L Account",
    "G/L Account Description",
    "Cost Centre / WBS Element Description",
    "Merchant Type Description",
    "Purpose",
    "Division",
]
# The other columns of params.yaml, which a file must announce though they may be empty.
EMPTY = [
    "Card Posting Dt",
    "Trx Currency",
    "Original Amount",
    "Original Currency",
    "Cost Centre / WBS Element",
    "Merchant Type",
]


def ledger_rows(n_rows: int = 60) -> list[list[str]]:
    """Return the cells of a small ledger, in the order of HEADER, always the same ones."""
    choose = random.Random(7)
    accounts = list(ACCOUNTS)
    rows = []
    for i in range(n_rows):
        code = accounts[-1] if i == n_rows - 1 else choose.choice(accounts[:-1])
        name, merchants, purposes = ACCOUNTS[code]
        rows.append(
            [
                f"{1000 + i}-1",
                f"2018-{1 + i % 12:02}-{1 + i % 28:02}",
                choose.choice(merchants),
                f"{choose.randrange(100, 90000) / 100:.2f}",
                code,
                name,
                choose.choice(["WATER", "ROADS", "본사 총무팀"]),
                choose.choice(["SERVICE", "RETAIL"]),
                f"{choose.choice(purposes)} {i % 9}",
                choose.choice(["PARKS", "재무과"]),
            ]
        )
    return rows


def write_ledger(path: Path, rows: list[list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        blank = [""] * len(EMPTY)
        csv.writer(file).writerows([[*HEADER, *EMPTY], *([*row, *blank] for row in rows)])


ACCOUNT = ("G/L Account", "G/L Account Description")


def write_new_rows(path: Path, rows: list[list[str]], left_out: tuple[str, ...] = ACCOUNT) -> None:
    """Write rows of the small ledger without the columns `left_out`."""
    kept = [place for place, name in enumerate(HEADER) if name not in left_out]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([row[place] for place in kept] for row in [HEADER, *rows])
