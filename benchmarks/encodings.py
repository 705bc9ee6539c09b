"""Our search for the encoding of a ledger against charset-normalizer's.

    python -m benchmarks.encodings

Prints a table, one row a case of tests/encoding_cases.py, then counts and times. An answer is right
if the text that it gives is the text that was written, whatever the encoding is called: EUC-KR and
CP949 are the same here. "refused" is right only where the encoding cannot be told. The library runs
twice: among all encodings that it knows, and among those alone that are among the cases. Each case
is also written fifty times over, because the library is made for longer texts.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import charset_normalizer

from stages.lib.errors import UserError
from stages.lib.ledger.encodings import find_encoding

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from encoding_cases import CASES, UNCLEAR
from ledger_files import csv_text

LONG = 50
ISOLATED = sorted({expected for _, _, expected in CASES} - {"utf-8-sig"})


def ours(content: bytes) -> str | None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            return find_encoding(Path(file.name))
        except UserError:
            return None


def library(content: bytes) -> str | None:
    best = charset_normalizer.from_bytes(content).best()
    return best and best.encoding


def isolated(content: bytes) -> str | None:
    best = charset_normalizer.from_bytes(content, cp_isolation=ISOLATED).best()
    return best and best.encoding


METHODS: dict[str, Callable[[bytes], str | None]] = {
    "ours": ours,
    "charset-normalizer": library,
    "same, isolated": isolated,
}


def decoded(content: bytes, encoding: str) -> str:
    return content.decode(encoding, "replace").removeprefix("\ufeff")


def main() -> None:
    argparse.ArgumentParser(
        prog="python -m benchmarks.encodings",
        description="Our search for an encoding against charset-normalizer's.",
    ).parse_args()
    right, seconds = Counter(), Counter()
    print("| case | written in | " + " | ".join(METHODS) + " |")
    print("|---|---|" + "---|" * len(METHODS))
    asked = [(rows, written, None) for rows, written in UNCLEAR]
    for times in (1, LONG):
        for rows, written, expected in [*CASES, *asked]:
            text = csv_text([rows[0], *rows[1:] * times])
            content, cells = text.encode(written), []
            for name, find in METHODS.items():
                start = time.perf_counter()
                found = find(content)
                seconds[name, times] += time.perf_counter() - start
                is_right = found is None if not expected else bool(found)
                if found:
                    is_right = decoded(content, found) == text
                right[name, times] += is_right
                cells.append((found or "refused") + " (wrong)" * (not is_right))
            if times == 1:
                print(f"| {rows[1][2][:12]} | {written} | {' | '.join(cells)} |")
    total = len(CASES) + len(asked)
    for times in (1, LONG):
        counts = [
            f"{right[name, times]}/{total}, {1e3 * seconds[name, times] / total:.1f} ms"
            for name in METHODS
        ]
        print(f"| right, time a file | rows x {times} | {' | '.join(counts)} |")


if __name__ == "__main__":
    main()
