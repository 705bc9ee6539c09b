"""Notice letters that were broken before: by a program that took text for another encoding."""

import re
from collections import Counter
from functools import lru_cache
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from stages.lib.ledger.privacy import mask_personal
from stages.lib.params.ingest import IngestParams

# What replaces letters that are lost: alone, and after another program took it for Korean,
# Chinese or western text.
_LOST = re.compile("\ufffd|\u5360\uc3d9\uc619|\u951f\u65a4\u62f7|\xef\xbf\xbd")
# UTF-8 that was taken for one of these begins with these letters. Real text may have them, too, but
# it does not become UTF-8 when it is written in that encoding.
_TAKEN_FOR = (
    ("cp1252", "[\xc2-\xf4]"),
    ("cp949", r"[\u4e00-\uffff]"),
    ("cp932", "[縺繧繝]"),
    ("gbk", "[\u4e00-\u9fff]"),
    ("cp1251", "[ВГДЕРС]"),
    ("cp1250", "[\u0102\xc2\xc4\u0139]"),
    ("mac_roman", "[√¬‚]"),
    ("cp850", "[├┬┼Ô]"),
    ("cp437", "[├┬┼Γ]"),
)
# What it has been: letters of languages that ledgers are written in, and signs.
_LETTERS = re.compile(
    "[\xa0-\u017f\u0218-\u021b\u0384-\u03ce\u0401-\u045f\u0490\u0491\u05d0-\u05ea\u0621-\u064a"
    "\u0e01-\u0e5b\u1ea0-\u1ef9\u2010-\u203a\u20a0-\u20bf\u2116\u2122\u3000-\u30ff\u3400-\u9fff"
    "\uac00-\ud7a3\uff00-\uffee]+"
)
_WIDE = ("cp949", "cp932", "gbk")
_ASIAN = re.compile("[\u3000-\u30ff\u3400-\u9fff\uac00-\ud7a3\uff00-\uffee]{2,}")
# Korean and Russian that were taken for western text are long runs of accented letters.
_WESTERN_RUN = re.compile("[\xa1-\xff]{4,}")
_RUN = re.compile(r"[^\x00-\x7f]+")
# A word in quotes may end in an accented letter, with the quote after it.
_QUOTED = re.compile("[‘“„«‹‚].*[’”“»›]")
# Few cells that are not broken fit this, so few are looked at one by one.
_SUSPECT = (
    r"\x{fffd}|\x{5360}\x{c3d9}\x{c619}|\x{951f}\x{65a4}\x{62f7}"
    r"|[\x{c2}-\x{f4}][\x{80}-\x{bf}\x{152}\x{153}\x{160}\x{161}\x{178}\x{17d}\x{17e}\x{192}"
    r"\x{2c6}\x{2dc}\x{2013}-\x{203a}\x{20ac}\x{2122}]"  # the end of two bytes, in CP1252
    r"|[\x{a1}-\x{ff}]{4}|[\x{102}\x{c4}\x{139}√¬‚├┬┼ΓÔ][^\x00-\x7f]"
    r"|[ВГДЕРС][^\x00-\x7f\x{410}-\x{44f}]"
    r"|\p{Han}\p{Hangul}|\p{Hangul}\p{Han}|[縺繧繝涓鏂銆浠]"
)


class Broken(NamedTuple):
    """How many cells have broken letters, and one of them, with personal data masked."""

    cells: int
    example: str


@lru_cache(maxsize=10_000)
def mended(text: str) -> str | None:
    """Return `text` with the letters that it had before; "" if they are lost, None if none is
    broken."""
    if _LOST.search(text):
        return ""
    if _QUOTED.search(text):
        return None
    found = _RUN.sub(lambda run: _mended_run(run[0]) or run[0], text)
    return None if found == text else found


def _mended_run(run: str) -> str | None:
    for encoding, start in _TAKEN_FOR:
        if not re.match(start, run):
            continue
        try:
            letters = _bytes(run, encoding).decode("utf-8")
        except UnicodeError:
            continue
        if (_ASIAN if encoding in _WIDE else _LETTERS).fullmatch(letters):
            return letters
    if len(set(run)) > 2 and _WESTERN_RUN.fullmatch(run):
        for encoding, first, last, least in (("euc_kr", "가", "힣", 2), ("cp1251", "Ё", "ё", 5)):
            letters = run.encode("latin-1").decode(encoding, "replace")
            if len(letters) >= least and all(first <= letter <= last for letter in letters):
                return letters
    return None


def _bytes(run: str, encoding: str) -> bytes:
    """Return `run` in `encoding`. Bytes that CP1252 has no character for are what they are in
    Latin-1.

    Raises
    ------
    UnicodeError
        It has other characters.
    """
    if encoding == "cp1252":
        parts = (c.encode("latin-1" if "\x80" <= c < "\xa0" else "cp1252") for c in run)
        return b"".join(parts)
    return run.encode(encoding)


def find_broken(columns: dict[str, pa.Array], params: IngestParams) -> dict[str, Broken]:
    """Return the cells of texts, categories and names with broken letters: those under "broken"
    can be mended, those under "lost" not."""
    counts, examples = Counter(), {}
    for name, column in columns.items():
        if params.columns[name].role in ("id", "date", "amount"):
            continue
        foreign = column.filter(pc.invert(pc.string_is_ascii(column)))
        suspects = foreign.filter(pc.match_substring_regex(foreign, _SUSPECT))
        for value, count in Counter(suspects.to_pylist()).items():
            if (text := mended(value)) is not None:
                kind = "broken" if text else "lost"
                counts[kind] += count
                if kind not in examples:
                    masked = [mask_personal(t, params.mask)[0][:80] for t in (value, text)]
                    examples[kind] = repr(masked[0]) + (f" for {masked[1]!r}" if text else "")
    return {kind: Broken(n, examples[kind]) for kind, n in sorted(counts.items())}


def broken_letters(found: list[tuple[str, dict[str, Broken]]]) -> list[str]:
    """Return a line for each kind of broken letters.

    Parameters
    ----------
    found : list of (str, dict)
        The name of each sheet, and what `find_broken` has found there.
    """
    lines = []
    for kind, says, action in (
        (
            "broken",
            "have letters that were broken before",
            "if they are right in the file, set its encoding in ingest.reading, else export it "
            "again as UTF-8",
        ),
        (
            "lost",
            "have U+FFFD or what became of it: letters that were lost before",
            "export the ledger again as UTF-8, from the program that still has them",
        ),
    ):
        sheets = [(where, broken[kind]) for where, broken in found if kind in broken]
        if sheets:
            where, first = sheets[0]
            others = f" and {len(sheets) - 1} other sheets" if len(sheets) > 1 else ""
            count = sum(broken.cells for _, broken in sheets)
            lines.append(f"{where}{others}: {count:,} cells {says}: {first.example}; {action}")
    return lines
