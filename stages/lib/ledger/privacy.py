"""Find personal data in ledger text and put "[kind]" in its place.

A pattern alone also fits invoice and receipt numbers, so each kind needs a proof. A card has a
brand, a length and a check digit; a resident number has a birth date and a century; an IBAN has
check digits and the form of its country. Other bank accounts have a word in front that announces
them, or the groups of a bank. Telephone numbers have the groups of a country, or such a word.

python-stdnum verifies cards and IBANs. phonenumbers is not used: it accepts ticket, invoice and
file numbers as telephone numbers (docs/history.md has the figures).
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
from stdnum import iban, luhn
from stdnum.iso7064 import mod_97_10

from stages.lib.normalize import clean_text
from stages.lib.params.ingest import MaskKind

# For raw cells, where digits have more forms and any distance between them. RE2's own \pN takes a
# millisecond to compile, once a column and sheet.
_DIGIT = "0-9０-９¹²³⁰-₉①-⑳𝟎-𝟿٠-٩۰-۹०-९"
_NUMBER = f"(?:[{_DIGIT}][^{_DIGIT}]*)"
# After 座 seven digits are enough.
_CANDIDATE = rf"[@＠﹫座]|{_NUMBER}{{6}}(?:[*xX●＊ｘＸ]|{_NUMBER}{{2}})"
_MAY_HOLD_PERSONAL = re.compile(r"@|(?:\d\D{0,4}){7}|\d{6}\W{0,3}[*x●]", re.I)
# Word processors write other dashes. All become the one that is in the patterns below.
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—−", "-"))

# Korean words may follow an address without a space. Addresses in Korean letters are looked for
# second.
_WIDE = "ㄱ-ㆎ가-힣一-鿿"
_EMAIL = re.compile(rf"(?:(?![{_WIDE}])[\w.+%-]){{1,64}}@(?:[a-z0-9-]+\.)+[a-z]{{2,}}", re.I)
_WIDE_EMAIL = re.compile(r"[\w.+%-]{1,64}@[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}", re.I)

_GAP = r"(?: ?[-_./] ?| )"
# How many digits are printed together.
_CARD_SHAPES = "|".join(
    f"{_GAP}".join(rf"\d{{{n}}}" for n in shape.split())
    for shape in ("4 4 4 4 3", "4 4 4 4", "4 4 4 3", "4 6 5", "4 6 4", "4 8 4", "8 8")
)
_CARD = re.compile(rf"(?<!\d)(?<!\d[-.,])(?:\d{{13,19}}|{_CARD_SHAPES})(?!-?\d|[.,]\d)")
_CARD_BRANDS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"
    r"|3[47]\d{13}|6(?:011|4[4-9]\d|5\d\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}"
    r"|3(?:0[0-5]|[68]\d)\d{11}|62\d{14,17}|9\d{15}"
)
# In "receipt#2483-..." the number is a document's, in "card #2483-..." a card's.
_NUMBERED = re.compile(r"#:?\s?$")
_NUMBERED_CARD = re.compile(r"(?:card|visa|master|amex|카드)\W*(?:no\.?|number|번호)?\W*$", re.I)

_RESIDENT = re.compile(
    r"(?<!\d)(?<!\d[-.,])(\d{2})(\d{2})(\d{2})( ?- ?| )?"
    r"(?:([0-9])[\d*x●]{6}|([0-9])[*x●]{4,5}|[*x●]{7})(?![\d*●]|[.,-]\d)",
    re.I,
)
_HANGUL = re.compile("[가-힣]")
# After these words comes the number of a document, not of a person.
_DOCUMENT = re.compile(
    r"(?:(?:전표|문서|주문|송장|승인|접수|관리|계약|영수증|증빙|청구|고지|등록)\W{0,2}(?:번호|no|#)"
    r"|(?:법인|사업자)(?:등록)?(?:번호)?|(?:伝票|請求書?|注文書?|契約|管理|領収書?)(?:番号|no)?"
    r"|(?<![a-z])(?:inv(?:oice)?|order|ord|p\.?o\.?|doc(?:ument)?|ref(?:erence)?|receipt|rcpt|trans"
    r"|transaction|tracking|ticket|batch|conf(?:irmation)?|case|serial|sku|part|item|model|job|file"
    r"|contract|permit|policy|wbs|wo|gl|isbn|barcode|project|projekt|rechnung|rechnungsnr|rg|beleg"
    r"|auftrag|bestellung|vertrag|facture|fact|commande|contrat|devis|factura|faktura|fv|fattura|pedido|ordine)\W{0,3}(?:no|nr|num|number|id)?)\W{0,3}$",
    re.I,
)


def _before(match: re.Match) -> str:
    # No announcement is longer. Without a limit, the time grows with the square of the length.
    return match.string[max(0, match.start() - 40) : match.start()]


def _is_document(match: re.Match) -> bool:
    return _DOCUMENT.search(_before(match)) is not None


_IBAN = re.compile(
    r"(?<![a-z0-9])[a-z]{2}\d{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,3})?(?![a-z0-9])", re.I
)
# Countries that use IBANs, but are not in SWIFT's registry.
_UNREGISTERED = re.compile("AO|BF|BJ|C[FGIMV]|DZ|G[AQW]|IR|KM|M[AGLZ]|NE|SN|T[DG]")
_BANK_WORDS = (
    r"(?:국민|신한|우리|하나|농협|기업|카카오|카뱅|토스|케이|케뱅|새마을(?:금고)?|수협|우체국|신협"
    r"|(?:sc)?제일|씨티|산업|대구|부산|광주|전북|경남|제주)?(?:은행|뱅크)|국민|신한|우리|하나|농협|기업"
    r"|카카오|카뱅|토스|케뱅|새마을(?:금고)?|수협|우체국|신협|계좌(?:번호)?|예금주"
    r"|account(?: no\.?| number)?|acct\.?(?: no\.?)?|a/c(?: no\.?)?|iban"
    r"|kont[oa](?:nummer)?|kto|compte|rib|sort code|routing|transit(?: no\.?| number)?"
)
_BANK_NEAR = re.compile(
    rf"((?:(?<![^\W_])(?:{_BANK_WORDS})|口座(?:番号)?)\W{{0,3}}"
    r"(?:(?:계좌|번호|number|no|nr)\W{0,3}){0,2})"
    r"(\d[\d -]{5,32}\d)(?!\d|[.,]\d)",
    re.I,
)
_DAY = re.compile(r"(?:19|20)\d\d[- ]?(?:0[1-9]|1[0-2])[- ]?(?:0[1-9]|[12]\d|3[01])")
_GROUPS = re.compile(r"(?<![a-z\d-])\d{3,6}(?:-\d{2,8}){2,3}(?![a-z\d-])", re.I)
# How many digits Korean banks print between dashes.
_BANK_SHAPES = {
    (6, 2, 6), (3, 3, 6), (4, 3, 6), (3, 6, 5), (3, 4, 4, 2), (3, 6, 2, 3), (4, 2, 7), (3, 2, 6),
    (3, 2, 7), (3, 6, 3), (3, 4, 6), (3, 8, 2),
}  # fmt: skip

_PHONE = re.compile(
    r"(?<![\d.#-])(?:"
    # With the country; Korea; North America; a zero and groups, as in Britain, Germany, Australia,
    # Switzerland, Japan and France; Brazil; Korean service numbers.
    r"\+\d{1,3}[-. ]?(?:\(0\))?\(?\d{1,4}\)?(?:[-. ]?\d{2,4}){2,4}"
    r"|82[-. ]0?1[016-9][-. ]\d{3,4}[-. ]\d{4}"
    r"|0(?:2|1[016-9]|[3-6][1-5]|70|50\d?|80)[-. )]{1,2}\d{3,4}[-. ]\d{4}|01[016-9]\d{7,8}"
    r"|(?:1[-. ])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[-.])[2-9]\d{2}[-. ]\d{4}"
    r"|\(0\d{1,4}\) ?\d{3,4}[ -]\d{4}|0\d{2}[ -]\d{4}[ -]\d{4}|0\d{3}[ -]\d{3}[ -]\d{4}"
    r"|0\d{4} \d{3} \d{3}|0\d{2,5}/\d{6,8}|07\d{3} \d{6}|04\d{2} \d{3} \d{3}"
    r"|0\d{2}[ /]\d{3} \d{2} \d{2}"
    r"|0[3-9]-(?!(?:19|20)\d\d-(?:19|20))\d{4}-\d{4}"
    r"|(?<!\d[ /])0[1-9](?P<s>[ .])\d{2}(?:(?P=s)\d{2}){3}(?!(?P=s)\d)"
    r"|\([1-9]\d\) ?9 ?\d{4}[- ]\d{4}"
    r"|(?:15(?:22|33|44|66|77|88|99)|16(?:00|44|61|66|70|88|99)|18(?:00|11|33|55|66|77|99))-\d{4}"
    r")(?![\d-]|[.]\d)"
)
_PHONE_NEAR = re.compile(
    r"((?:(?<![a-z])(?:t[eé]l(?:[eé](?:ph|f)[oó]n[eo]?)?|phone|ph|fax|cell|mobile|h\.?p)"
    r"|전화|연락처|휴대폰|핸드폰|팩스|電話|携帯|电话|手机|☎)"
    r"(?:번호|番号|号码|[. ]?(?:no|number|nr))?[.:# ]{0,3})"
    r"(\(?\d[\d ().-]{6,14}\d)(?!\d|[.,-]\d|[년월일])",
    re.I,
)


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def is_card(digits: str) -> bool:
    """Return whether `digits` have the beginning and length of a card brand, and a valid check
    digit (ISO/IEC 7812, Luhn)."""
    return bool(_CARD_BRANDS.fullmatch(digits)) and luhn.is_valid(digits)


def is_iban(text: str) -> bool:
    """Return whether `text` is an IBAN: valid check digits (ISO 13616, modulus 97), and the length
    and groups that SWIFT's registry has for its country.

    A country's own check digits inside of the number are not verified: some are not public. Some
    countries use IBANs and are not in the registry. Of theirs only the check digits are verified.
    """
    if iban.is_valid(text, check_country=False):
        return True
    number = iban.compact(text)
    return (
        _UNREGISTERED.match(number) is not None
        and 15 <= len(number) <= 34
        and mod_97_10.is_valid(number[4:] + number[:4])
    )


def iban_length(text: str) -> int:
    """Return the length of the IBAN that `text` begins with, 0 if it begins with none.

    A word that follows may look like the last group of the number.
    """
    ends = [len(text), *(match.start() for match in re.finditer(" ", text))]
    return next((end for end in sorted(ends, reverse=True) if is_iban(text[:end])), 0)


def is_birth(year: str, month: str, day: str, century: str) -> bool:
    """Return whether these digits can begin a Korean resident or foreigner registration number.

    `century` is the seventh digit: 1, 2, 5 or 6 for the 1900s, 3, 4, 7 or 8 for the 2000s, "" if it
    is hidden. 9 and 0 are the 1800s, of which nobody is alive. The last digit of a number is not
    verified: since October 2020 it is no longer a check digit.
    """
    if century and century in "90":
        return False
    try:
        born = date(
            (2000 if century and century in "3478" else 1900) + int(year), int(month), int(day)
        )
        return born.year <= 2035
    except ValueError:
        return False


def _card(match: re.Match) -> bool:
    before = _before(match)
    if _NUMBERED.search(before) and not _NUMBERED_CARD.search(before):
        return False
    return is_card(_digits(match[0]))


def _resident(match: re.Match) -> bool:
    if _is_document(match):
        return False
    # Thirteen digits without a dash are mostly a document's, except in Korean text.
    if not match[4] and match[0].isdigit() and match[0] != match.string:
        before = match.string[match.start() - 1 : match.start()]
        if (
            not _HANGUL.search(match.string)
            or before in ("#", "*")
            or before.isascii() * before.isalpha()
        ):
            return False
    return is_birth(match[1], match[2], match[3], match[5] or match[6] or "")


def _bank_near(match: re.Match) -> bool:
    least = 7 if "座" in match[1] else 8  # in Japan seven
    return least <= len(_digits(match[2])) <= 26 and not _DAY.match(match[2])


def _bank_shape(match: re.Match) -> bool:
    groups = match[0].split("-")
    is_year = re.fullmatch(r"(?:19|20)\d\d", groups[0])
    return tuple(map(len, groups)) in _BANK_SHAPES and not is_year and not _is_document(match)


def _phone(match: re.Match) -> bool:
    digits = _digits(match[0])
    if match[0][0] == "+":
        return 9 <= len(digits) <= 15
    # 1600-1699 is a range of accounts, 05 06 07 08 09 are days, 02.01.03.04.01 is part of a plan.
    is_range = len(digits) == 8 and digits[:2] == digits[4:6]
    are_small = match["s"] and max(match[0].split(match["s"])) <= "31"
    # No document begins like a Korean mobile number.
    is_mobile = digits.startswith("01") and not match["s"]
    return not (is_range or are_small) and (is_mobile or not _is_document(match))


def _phone_near(match: re.Match) -> bool:
    digits = _digits(match[2])
    return (9 <= len(digits) <= 12 or digits[:2] in ("15", "16", "18")) and not _DAY.match(match[2])


# In this order: the kinds with the best proof come first.
_RULES: tuple[tuple[MaskKind, re.Pattern, Callable[[re.Match], bool]], ...] = (
    ("email", _EMAIL, lambda match: True),
    ("email", _WIDE_EMAIL, lambda match: True),
    ("bank_account", _IBAN, lambda match: iban_length(match[0]) > 0),
    ("card", _CARD, _card),
    ("bank_account", _BANK_NEAR, _bank_near),
    ("resident_number", _RESIDENT, _resident),
    ("phone", _PHONE, _phone),
    ("phone", _PHONE_NEAR, _phone_near),
    ("bank_account", _GROUPS, _bank_shape),
)
# The first group of these is the word that announces the number. It is kept.
_ANNOUNCED = (_BANK_NEAR, _PHONE_NEAR)


def mask_personal(text: str, kinds: Iterable[MaskKind]) -> tuple[str, Counter]:
    """Return `text` with personal data of `kinds` replaced by "[kind]", and how many of each kind.

    Text with such data is returned in the form of `clean_text`, with plain dashes; other text is
    returned as it is.
    """
    found, raw, text = Counter(), text, clean_text(text, "keep").translate(_DASHES)
    if not _MAY_HOLD_PERSONAL.search(text):
        return raw, found
    for kind, pattern, proves in _RULES:
        # The search for addresses takes half of the time, and most texts have none.
        if kind in kinds and (kind != "email" or "@" in text):

            def masked(match: re.Match, kind=kind, pattern=pattern, proves=proves) -> str:
                if not proves(match):
                    return match[0]
                found[kind] += 1
                before = match[1] if pattern in _ANNOUNCED else ""
                behind = match[0][iban_length(match[0]) :] if pattern is _IBAN else ""
                return f"{before}[{kind}]{behind}"

            text = pattern.sub(masked, text)
    return (text if found else raw), found


def mask_cells(
    cells: pa.Array, kinds: Iterable[MaskKind], spare: str | None = None
) -> tuple[pa.Array, pa.Array, dict[MaskKind, int]]:
    """Mask the personal data in a column of raw cells.

    Parameters
    ----------
    cells : pa.Array of string
        Without nulls.
    kinds : iterable of str
    spare : str, optional
        Regular expression (RE2). Cells that it fits as a whole are not masked.

    Returns
    -------
    masked : pa.Array of string
        As `mask_personal` leaves them.
    changed : pa.Array of bool
    counts : dict
        ``{kind: number of cells}``.
    """
    candidates = pc.match_substring_regex(cells, _CANDIDATE)
    if spare:
        spared = pc.match_substring_regex(cells, rf"^(?:{spare})$")
        candidates = pc.and_not(candidates, spared)
    encoded = cells.filter(candidates).dictionary_encode()
    times = pc.value_counts(encoded.indices)
    rows = dict(zip(times.field(0).to_pylist(), times.field(1).to_pylist(), strict=True))
    texts, counts = [], Counter()
    for place, text in enumerate(encoded.dictionary.to_pylist()):
        masked, found = mask_personal(text, kinds)
        texts.append(masked)
        counts.update({kind: rows[place] for kind in found})
    texts = pa.array(texts, pa.string()).take(encoded.indices)
    masked = pc.replace_with_mask(cells, candidates, texts)
    return masked, pc.not_equal(masked, cells), counts
