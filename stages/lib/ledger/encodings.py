"""Find the encoding of a text file.

A byte-order mark decides, or UTF-8 does. If neither is there, the letters decide: the same bytes
are text in several encodings, but in most of them the letters are ones that no language uses. An
encoding is accepted only if most of its letters are common ones, and only if no other encoding is
accepted too: what could be Korean as well as Portuguese is not guessed.

charset-normalizer finds fewer of the encodings in tests/encoding_cases.py, and it answers even
where the encoding cannot be told. ``python -m benchmarks.encodings`` compares both.
"""

import codecs
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple

from stages.lib.errors import UserError
from stages.lib.ledger.opening import DAMAGED, damaged, unpacked
from stages.lib.ledger.other_formats import check_format
from stages.lib.ledger.privacy import mask_personal

_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHUNK_BYTES = 1 << 20
# This many lines that are not ASCII show the encoding, and this many bytes of them.
_SAMPLE_LINES = 5_000
_SAMPLE_BYTES = 1 << 16
_SHOWN_CHARS = 60
_WHERE_NAMED = "in ingest.reading (encoding: ...)"

# Letters of German, French, Spanish, Portuguese, Italian, Dutch and the Nordic languages.
_WESTERN = ["äöüßéèêëàâçîïôûùœáíóúñãõìòåæø"]
# The same, one language each. They decide between two encodings where all letters are western in
# one and Hungarian in the other: the letters of a real text belong to a single language.
_WESTERN_ALONE = [
    *("äöüß", "éèêëàâçîïôûùœæ", "áéíóúüñ", "áâãàçéêíóôõúü", "àèéìòù", "åäöæøé", "ëéèïöüó"),
]
_CENTRAL = ["ąćęłńóśźż", "áčďéěíňóřšťúůýžäĺľôŕ", "áéíóöőúüű", "ăâîşţ", "čšžćđ"]
_BALTIC = ["ąčęėįšųūž", "āčēģīķļņšūž", "äõöüšž"]
_TURKISH = ["çğıöşüâ\u0307"]
_RUSSIAN = ["оеаинтсрвлкмдпу"]
_GREEK = ["αοιετσνηυρπκάέήίόύώς"]
_KOREAN = [
    "비주당구사무유대민용시기정소어보실리더불지차경원이서의량동문군선미김료금회통신관인남전갑수자을산래거식부"
    "새누임및합성국울북표홍천례일후영타한진입치안고스강담간독등상류여도활양제광론공장박언현충품련호송화월재조건"
    "청우렌창석종포속중트역교마터승모아해하병다로오개철과점급체카태윤명에세요생희계나연탈은위환발단드설훈평티직"
    "협예행운내외택케분가방레융최농출업배책항작좌피파노준디백복규테함순착덕코권매비급여출장식대카페커피택시"
]
_KANA = "".join(map(chr, [*range(0x3041, 0x3094), *range(0x30A1, 0x30FD)]))
_JAPANESE = [
    _KANA
    + "日一国会人年大十二本中長出三時行見月分後前生五間上東四今金九入学高円子外八六下来気小七山話女"
    + "北午百書先名川千水半男西電校語土木車食費品用料代店社通信交旅消耗賃備駅事務所印刷送保険税手数"
    + "給与議接待勘定科目摘要借貸仕訳令和平成元合計租公課支払広告宣伝外注地家賃道光熱修繕福利"
    + "厚雑振込引先"
]
_CHINESE = [
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而"
    "方后多定行学法所民得经十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本去性好应"
    "开合还因由其些前外天政四日那社事平形相全表间样与关各重新线内数正心明看利比质气第向道此变条问意建月公无系"
    "费购采办招待餐饮差旅租软件服务续订金款员工资司北京上海广场品纸车票会议材料税信息技术设备管维修"
    "摘凭证科目借贷余额累计报销银存"
]
_TAIWANESE = [
    "的一是在不了有和人這中大為上個國我以要他時來用們生到作地於出就分對成會可主發年動同工也能下過子說產種面而"
    "方後多定行學法所民得經十三之進著等部度家電力裡如水化高自二理起小物現實加量都兩體制機當使點從業本去性好應"
    "開合還因由其些前外天政四日那社事平形相全表間樣與關各重新線內數正心明看利比質氣第向道此變條問意建月公無系"
    "費購採辦招待餐飲差旅租軟件服務訂金款員資司台北灣場品紙車票計程議材料稅信息技術設備管維修"
]
# The 2,350 syllables of EUC-KR. CP949 has 8,822 more, which are rare.
_SYLLABLES = [
    "".join(bytes([a, b]).decode("euc_kr") for a in range(176, 201) for b in range(161, 255))
]
_NARROW_KANA = ["".join(map(chr, range(0xFF61, 0xFFA0)))]
# (encoding, the letters of each of its languages, the share of letters that must be common).
# Of two equal ones the first counts: the text is the same in both, or the second is rare.
_CANDIDATES = [
    ("cp1252", _WESTERN, 0.9),
    ("cp1250", _CENTRAL, 0.9),
    ("iso8859_2", _CENTRAL, 0.9),
    ("cp1254", _TURKISH, 0.9),
    ("cp1257", _BALTIC, 0.9),
    ("cp850", _WESTERN, 0.9),
    ("mac_roman", _WESTERN, 0.9),
    ("cp857", _TURKISH, 0.9),
    ("cp1251", _RUSSIAN, 0.65),
    ("koi8_r", _RUSSIAN, 0.65),
    ("cp1253", _GREEK, 0.65),
    ("cp949", _KOREAN, 0.5),
    ("cp932", _JAPANESE, 0.5),
    ("euc_jp", _JAPANESE, 0.5),
    ("gb18030", _CHINESE, 0.4),
    ("big5", _TAIWANESE, 0.4),
]
# Fewer letters than this do not prove a rare encoding.
_FEW = 4
# Among several Asian encodings, the right one has at least this much more common letters.
_CLEAR = 0.4
# This many bytes show whether a file is UTF-16.
_HEAD = 1 << 16
_LATIN = (*("cp1252", "cp1250", "iso8859_2", "cp1254", "cp1257", "cp850", "mac_roman", "cp857"),)
WIDE = ("cp949", "cp932", "euc_jp", "gb18030", "big5")
# Signs where western text has them: not inside a word, and not next to another sign or an accented
# letter.
_SIGN = re.compile(
    r"(?<![^\x00-\x7f])(?:[’–]|(?<![a-zA-Z])[£€¥§°±²³µ·½¼¾‘•…—™©®ªº¿¡]|[£€°²³½™®ªº…—](?![a-zA-Z]))"
    r"(?![^\x00-\x7f])|(?<!\w)[“„«¿¡](?=\w)|(?<=\w)[”“»](?!\w)"
)
# ¤ ¦ § ¨ ¬ ¶ · in most encodings of one byte a letter: signs that may be delimiters.
_DELIMITER_BYTES = b"\xa4\xa6\xa7\xa8\xac\xb6\xb7"
_RUN = re.compile(r"[^\x00-\x7f]{4,}")
_MIXED = re.compile(r"[a-zA-Z][^\W\d_a-zA-Z]|[^\W\d_a-zA-Z][a-zA-Z]")


def _share(sample: bytes, encoding: str, languages: list[str]) -> float:
    """Return the share of the non-ASCII characters of `sample` that are common letters.

    What no word has counts three times against it: a capital after a small letter, a long run of
    accented letters, a Latin letter next to a Greek or Russian one.
    """
    text = sample.decode(encoding, "replace").replace("\xa0", " ")
    odd = 0
    if encoding in _LATIN:
        text = _SIGN.sub("", text)
        odd = sum(map(len, _RUN.findall(text)))
    elif encoding not in WIDE:
        odd = len(_MIXED.findall(text))
    if encoding not in WIDE:
        odd += sum(a.islower() and b.isupper() and not (a + b).isascii() for a, b in pairwise(text))
    counts = Counter(text.lower())
    total = sum(n for char, n in counts.items() if char > "\x7f")
    if not total:
        return float(encoding == "cp1252")
    if total < _FEW and encoding in _LATIN[1:]:
        return 0.0
    common = max(sum(counts[char] for char in set(letters)) for letters in languages)
    return common / (total + 3 * odd)


def guess_encoding(sample: bytes) -> str | None:
    """Return the encoding of lines that have bytes over 127 and are not UTF-8; None if several are
    possible, or none that is known here."""
    shares = {name: _share(sample, name, letters) for name, letters, _ in _CANDIDATES}
    likely = [name for name, _, least in _CANDIDATES if shares[name] >= least]
    # Latin encodings differ in few letters, and a language uses few of these: only the best counts.
    latin = {
        name: _share(sample, name, _WESTERN_ALONE if letters is _WESTERN else letters)
        for name, letters, _ in _CANDIDATES
        if name in likely and name in _LATIN
    }
    best = [max(latin, key=latin.get)] if latin else []
    best += [name for name in likely if name not in _LATIN]
    # Of the letters of one Asian language, at most half are common in another one.
    top = max((shares[name] for name in best if name in WIDE), default=0)
    best = [name for name in best if name not in WIDE or shares[name] > top - _CLEAR]
    if not best and _share(sample, "cp932", _NARROW_KANA) < 0.9:
        # It may be Korean in rare words, if it is nothing else.
        best = ["cp949"] if _share(sample, "cp949", _SYLLABLES) >= 0.9 else []
    return best[0] if len(best) == 1 else None


def guess_utf16(head: bytes) -> str | None:
    """Return 'utf-16-le' or 'utf-16-be' if `head`, the beginning of a file without a byte-order
    mark, is UTF-16; else None.

    In the right order of bytes it has digits, delimiters and line ends. In the wrong order, and in
    other text that has zero bytes, there are hardly any.
    """
    if b"\0" not in head:
        return None
    texts = {name: head[:_HEAD].decode(name, "replace") for name in ("utf-16-le", "utf-16-be")}
    plain = {name: sum(" " <= c <= "~" for c in text) for name, text in texts.items()}
    name = max(plain, key=plain.get)
    if plain[name] < 0.05 * len(texts[name]) or min(plain.values()) > 0.1 * plain[name]:
        return None
    return name if re.search("[\r\n]", texts[name]) else None


def _head_encoding(head: bytes) -> str | None:
    """Return the encoding that the first bytes of a file reveal, if they do: by a byte-order mark,
    by zero bytes on one side of each pair (UTF-16), or by the escapes of ISO-2022-JP."""
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    if name := guess_utf16(head):
        return name
    return "iso2022_jp" if b"\x1b$B" in head and head.isascii() else None


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
        return True
    except UnicodeDecodeError:
        return False


class _Lines(NamedTuple):
    """The lines with bytes over 127, up to about _SAMPLE_LINES of them.

    `is_utf8` says whether the whole file is UTF-8, `utf8` how many of the lines are; `others` are
    those that are not.
    """

    is_utf8: bool
    utf8: int
    others: list[bytes]


def _read_lines(chunks: Iterable[bytes]) -> _Lines:
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_utf8, utf8, others, tail = True, 0, [], b""
    for chunk in chunks:
        try:
            # A file of another encoding fails here early, and is not decoded to its end.
            is_utf8 = is_utf8 and decoder.decode(chunk) is not None
        except UnicodeDecodeError:
            is_utf8 = False
        if not chunk.isascii() and utf8 + len(others) < _SAMPLE_LINES:
            *lines, tail = re.split(b"[\r\n]", tail + chunk)
            foreign = [line for line in lines if not line.isascii()]
            bad = [line for line in foreign if not _is_utf8(line)]
            utf8, others = utf8 + len(foreign) - len(bad), others + bad
    if not tail.isascii():
        utf8, others = utf8 + _is_utf8(tail), others + [tail] * (not _is_utf8(tail))
    return _Lines(is_utf8 and not decoder.getstate()[0], utf8, others)


def _without_delimiters(lines: list[bytes]) -> bytes:
    """Return the text of `lines` without a byte that may be their delimiter, because each of them
    has it equally often: it says nothing about the letters."""
    counts = {byte: {line.count(byte) for line in lines} for byte in _DELIMITER_BYTES}
    even = [b for b, found in counts.items() if len(lines) > 1 and len(found) == 1 < max(found)]
    return b"\n".join(lines).translate(None, bytes(even))


def _in_each(line: bytes, mask: Sequence[str]) -> str:
    """Return what `line` is in the likeliest encodings, around its first byte over 127."""
    shares = {name: _share(line, name, letters) for name, letters, _ in _CANDIDATES}
    best = sorted(shares, key=shares.get, reverse=True)[:3]
    texts = {name: mask_personal(line.decode(name, "replace"), mask)[0] for name in best}
    starts = {
        name: next((i for i, char in enumerate(text) if char > "\x7f"), 0)
        for name, text in texts.items()
    }
    shown = {name: text[max(0, starts[name] - 20) :][:_SHOWN_CHARS] for name, text in texts.items()}
    return ", ".join(f"{text!r} in {name}" for name, text in shown.items())


def find_encoding(path: Path, mask: Sequence[str] = ()) -> str:
    """Return the encoding of the text file at `path`; the file may be packed with gzip.

    The beginning of the file decides if it can. If not, all bytes count: the file is UTF-8 if at
    least half of its lines with bytes over 127 are. If fewer are, the letters decide that these
    lines would have in other encodings.

    Parameters
    ----------
    mask : sequence of str
        Kinds of personal data to mask in messages.

    Raises
    ------
    UserError
        ``file-packed``, ``file-not-a-ledger``: the file is not text. ``damaged-file``: it cannot be
        read to its end. ``encoding-unclear``: several encodings are possible, or none that is known
        here. ``encoding-mixed``: some lines are UTF-8, the others are not.
    """
    try:
        with open(path, "rb") as packed, unpacked(packed) as file:
            head = file.read(_CHUNK_BYTES)
            check_format(path, head)
            if name := _head_encoding(head):
                return name
            lines = _read_lines(chain([head], iter(lambda: file.read(_CHUNK_BYTES), b"")))
    except DAMAGED as error:
        raise damaged(path, error) from None
    if lines.is_utf8 or lines.utf8 >= len(lines.others):
        return "utf-8"
    found = guess_encoding(_without_delimiters(lines.others)[:_SAMPLE_BYTES])
    if found is None:
        raise UserError(
            "encoding-unclear",
            path,
            f"its encoding cannot be told; a line of it is {_in_each(lines.others[0], mask)}",
            f"name the right one {_WHERE_NAMED}",
        )
    # Text with one byte a letter is hardly ever UTF-8 by chance.
    if lines.utf8 and found not in WIDE:
        raise UserError(
            "encoding-mixed",
            path,
            f"some lines are in utf-8, others in {found}; one of these is "
            f"{_in_each(lines.others[0], mask)}",
            f"convert the file, or name the encoding that counts {_WHERE_NAMED}; lines in the "
            "other one are refused",
        )
    return found
