"""Personal data is masked, and what only looks like it is not."""

import random
from datetime import date, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.lib.ledger.privacy import is_birth, is_card, is_iban, mask_cells, mask_personal

ALL = ["email", "card", "resident_number", "bank_account", "phone"]


def mask(text: str) -> str:
    return mask_personal(text, ALL)[0]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("refund 4111 1111 1111 1111 visa", "refund [card] visa"),
        ("5500-0000-0000-0004", "[card]"),
        ("card #4111111111111111", "card #[card]"),
        ("amex 3782 822463 10005", "amex [card]"),
        ("카드번호 9410-0000-0000-0005", "카드번호 [card]"),
        ("홍길동 800101-1234567", "홍길동 [resident_number]"),
        ("홍길동 8001011234567 지급", "홍길동 [resident_number] 지급"),
        ("8001011234567", "[resident_number]"),
        ("외국인 850505-7123456", "외국인 850505-7123456"),  # born 2085
        ("외국인 050505-7123456", "외국인 [resident_number]"),
        ("800101-1******", "[resident_number]"),
        ("mail kim.cs+a@corp.co.kr today", "mail [email] today"),
        ("a@b.ca", "[email]"),
        ("010-1234-5678", "[phone]"),
        ("tel 02) 123-4567", "tel [phone]"),
        ("01012345678 배달", "[phone] 배달"),
        ("(416) 555-0123", "[phone]"),
        ("1-800-555-0123", "[phone]"),
        ("+82 10-1234-5678", "[phone]"),
        ("+44 20 7946 0958", "[phone]"),
        ("020 7946 0958", "[phone]"),
        ("1588-1234", "[phone]"),
        ("국민은행 123456-01-123456 송금", "국민은행 [bank_account] 송금"),
        ("계좌번호: 1002123456789", "계좌번호: [bank_account]"),
        ("110-123-456789", "[bank_account]"),
        ("3333-01-1234567", "[bank_account]"),
        ("a/c no. 12345678", "a/c no. [bank_account]"),
        ("pay DE89 3704 0044 0532 0130 00 now", "pay [bank_account] now"),
        ("pay BE68 5390 0754 7034 now", "pay [bank_account] now"),  # "now" looks like a last group
        ("ES91 2100 0418 4502 0005 1332 paid", "[bank_account] paid"),
        ("iban BE68539007547034 rent 2019", "iban [bank_account] rent 2019"),
        ("MA64011519000001205000534921", "[bank_account]"),  # Morocco is not in SWIFT's registry
        ("GB82WEST12345698765432", "[bank_account]"),
        ("no.4111111111111111", "no.[card]"),
        ("카드4111111111111111승인", "카드[card]승인"),
        ("4111.1111.1111.1111", "[card]"),
        ("4111_1111_1111_1111", "[card]"),
        ("4111 - 1111 - 1111 - 1111", "[card]"),
        ("4111/1111/1111/1111", "[card]"),
        ("41111111 11111111", "[card]"),
        ("4111 11111111 1111", "[card]"),
        ("주민800101-1234567번", "주민[resident_number]번"),
        ("no.800101-1234567", "no.[resident_number]"),
        ("800101 - 1234567", "[resident_number]"),
        ("800101–1234567", "[resident_number]"),
        ("계약자 800101-1234567", "계약자 [resident_number]"),
        ("홍길동 800101-*******", "홍길동 [resident_number]"),
        ("800101-1234***", "[resident_number]"),
        ("메일hong@naver.com입니다", "메일[email]입니다"),
        ("홍길동@한글.한국 앞", "[email] 앞"),
        ("josé.b@corp.ca", "[email]"),
        ("연락처010-1234-5678번", "연락처[phone]번"),
        ("주문번호 010-1234-5678", "주문번호 [phone]"),
        ("+82-10-1234-5678", "[phone]"),
        ("82-10-1234-5678", "[phone]"),
        ("02-123-4567", "[phone]"),
        ("(416)555-0199", "[phone]"),
        ("(416) 555-0199", "[phone]"),
        ("tel4165550199", "tel[phone]"),
        ("tel. 416 555 0199 ext", "tel. [phone] ext"),
        ("전화번호: 0212345678", "전화번호: [phone]"),
        ("국민은행123456-04-123456홍길동", "국민은행[bank_account]홍길동"),
        ("계좌110-123-456789신한", "계좌[bank_account]신한"),
        ("토스뱅크 100012345678", "토스뱅크 [bank_account]"),
        ("카뱅 3333011234567", "카뱅 [bank_account]"),
        ("transit 12345-001-1234567", "transit [bank_account]"),
        ("01 23 45 67 89", "[phone]"),
        ("appel 06.12.34.56.78 paul", "appel [phone] paul"),
        ("tél. 0123456789", "tél. [phone]"),
        ("03-1234-5678", "[phone]"),
        ("電話番号 03-1234-5678まで", "電話番号 [phone]まで"),
        ("090-1234-5678", "[phone]"),
        ("手机13812345678", "手机[phone]"),
        ("044 123 45 67", "[phone]"),
        ("079/123 45 67", "[phone]"),
        ("0412 345 678", "[phone]"),
        ("(02) 9876 5432", "[phone]"),
        ("(11) 91234-5678", "[phone]"),
        ("kto 0532013000", "kto [bank_account]"),
        ("kto-nr. 532 013 000", "kto-nr. [bank_account]"),
        ("Konto-Nr. 0532013000", "Konto-Nr. [bank_account]"),
        ("nr konta: 12 1020 1026 0000 0422 7020 1111", "nr konta: [bank_account]"),
        ("RIB : 30004 00003 00010123456 43", "RIB : [bank_account]"),
        ("口座番号 1234567", "口座番号 [bank_account]"),
        ("010‑1234‑5678", "[phone]"),  # as word processors break no line there
        ("신한 110–123–456789", "신한 [bank_account]"),
        ("普通口座1234567", "普通口座[bank_account]"),
    ],
)
def test_personal_data_is_masked(text, masked):
    assert mask(text) == masked
    wide = "".join(chr(ord(c) + 0xFEE0) if c in "@0123456789" else c for c in text)
    is_masked = masked != text
    column, changed, _ = mask_cells(pa.array([text, "rent", wide, text]), ALL)
    assert column.to_pylist() == [masked, "rent", masked if is_masked else wide, masked]
    assert changed.to_pylist() == [is_masked, False, is_masked, is_masked]


@pytest.mark.parametrize(
    "text",
    [
        "2020-04-16",
        "20200416",
        "2020.04.16 13:45:00",
        "1,234,567.89",
        "1234567890123.45",
        "₩12,345,678",
        "4111111111111112",  # no check digit
        "receipt#2483-2658-0420-8883",
        "receipt#:4293-4546-5447-7642",
        "conf#5498-8613-00320788",
        "ad - trans# 372575482855328-7277",
        "trans# 9009046863376",
        "westjet*0005191913008",
        "westjet 0002054063189",
        "2020041612345",
        "inv 2020-0416-0001",
        "PO 4500012345",
        "doc 2020-04-123456",
        "doc 2020-04-1234567",
        "123-45-67890",  # a company's registration number
        "label prt zebra gc420-200510-000 r",
        "ref. 027-507-491",
        "registered mail rn 010 574 692 ca",
        "merchant credit usd1.00@1.233",
        "농협라가47175461",
        "size 100x200x3000",
        "8801234567890",  # a barcode: born 2088
        "account 2010 office supplies",
        "DE89370400440532013001",  # wrong check digits
        "inv200416-1234567",
        "전표번호 200416-1234567",
        "법인등록번호 110111-1234567",
        "110111-0012345",  # nobody born in the 1800s
        "part 123-456-789012",
        "po 044-123-4567",
        "file 0212/123456",
        "0101-2010-4010",  # accounts
        "1600-1699",
        "1500-1999",
        "우리 20200416",
        "account 2020-04-16 lunch",
        "tel 2020-04-16 10",
        "phone 20200416",
        "fax 1,234,567.00",
        "(전화0900-09033월1일-3월31일",
        "order 4165550199",
        "3075350664",
        "송장 6123-4567-8901",
        "운송장 1234-5678-9012",
        "order 112-1234567-1234567",
        "1z999aa10123456784",
        "사업자등록번호 1234567890",
        "100.200.3000 192.168.100.200",
        "jours 08 09 10 11 12",
        "05.06.07.08.09",
        "02.01.03.04.01",
        "01-10-20-30-40",
        "siret 012 345 678 00012",
        "12 01 23 45 67 89",
        "010.123.45.67",
        "00 12 34 56 78",
        "伝票番号 03-1234-5678",
        "注文番号 090-1234-5678",
        "facture 06.12.34.56.78",
        "facture 01 23 45 67 89",
        "fv 0412 345 678",
        "rechnung 044 123 45 67",
        "(11) 2019-2020",
        "(12) 4000-4999",
        "05-2019-2020",
        "kto 04930",
        "konto 0400 bis 0499",
        "rib 20240416",
        "prime rib 12345",
        "口座 2020-04-16",
        "1234567",
    ],
)
def test_amounts_dates_and_documents_are_not(text):
    assert mask(text) == text


def test_a_column_is_masked_as_its_cells_are():
    """A cell without personal data keeps its form; cells are counted once a row and kind."""
    cells = [
        "４１１１   1111 1111\u200b 1111",
        "a@b.ca c@d.ca",
        "Ｒｅｎｔ  ５",
        "",
        "12345678",
        "a@b.ca c@d.ca",
    ]
    masked, changed, counts = mask_cells(pa.array(cells), ALL)
    assert masked.to_pylist() == [
        "[card]", "[email] [email]", "Ｒｅｎｔ  ５", "", "12345678", "[email] [email]",
    ]  # fmt: skip
    assert changed.to_pylist() == [True, True, False, False, False, True]
    assert counts == {"card": 1, "email": 2}


def test_what_looks_like_an_amount_is_spared():
    cells = pa.array(["4111111111111111", "010-1234-5678"])
    assert mask_cells(cells, ALL, r"[0-9]+")[0].to_pylist() == ["4111111111111111", "[phone]"]


def test_only_the_kinds_asked_for_are_masked_and_counted():
    text = "a@b.ca and c@d.ca or 010-1234-5678"
    masked, found = mask_personal(text, ["email"])
    assert masked == "[email] and [email] or 010-1234-5678"
    assert found == {"email": 2}


def luhn_digit(body: str) -> str:
    """Return the check digit by the definition: the one that makes the sum divisible by ten."""
    for digit in "0123456789":
        total = 0
        for place, char in enumerate(reversed(body + digit)):
            value = int(char) * (2 if place % 2 else 1)
            total += value // 10 + value % 10
        if total % 10 == 0:
            return digit
    raise AssertionError


@given(st.integers(0, 10**12 - 1), st.sampled_from(["4", "51", "2720", "6011", "3528", "9"]))
def test_every_card_with_a_check_digit_is_one_and_no_other_digit_is(number, brand):
    body = brand + str(number).zfill(15)[-(15 - len(brand)) :]
    right = luhn_digit(body)
    assert [is_card(body + digit) for digit in "0123456789"] == [
        digit == right for digit in "0123456789"
    ]
    card = body + right
    assert mask(f"x {card[:4]} {card[4:8]} {card[8:12]} {card[12:]} y") == "x [card] y"


@given(st.dates(date(1900, 1, 1), date(2030, 12, 31)), st.integers(0, 999_999))
def test_every_birth_date_is_recognised(day, rest):
    for digit in "1256" if day.year < 2000 else "3478":
        number = f"{day:%y%m%d}-{digit}{rest:06d}"
        assert mask(f"성명 {number}") == "성명 [resident_number]"


def test_a_birth_date_must_exist():
    assert is_birth("00", "02", "29", "3")
    assert not is_birth("01", "02", "29", "3")
    assert not is_birth("80", "13", "01", "1")


def test_days_between_are_not_masked():
    choose, start = random.Random(1), date(1990, 1, 1)
    for _ in range(300):
        day = start + timedelta(days=choose.randrange(15_000))
        for form in ("%Y-%m-%d", "%d/%m/%Y", "%Y%m%d", "%y%m%d", "%Y년 %m월 %d일"):
            assert mask(f"paid {day:{form}} ok") == f"paid {day:{form}} ok"


@pytest.mark.parametrize(
    "number",
    [
        "FR14 2004 1010 0505 0001 3M02 606",
        "NO93 8601 1117 947",
        "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
        "BE68 5390 0754 7034",  # of no real bank
        "gb82west12345698765432",
    ],
)
def test_an_iban_has_valid_check_digits_and_the_form_of_its_country(number):
    assert is_iban(number)
    assert mask(f"pay {number}, now") == "pay [bank_account], now"


@pytest.mark.parametrize(
    "number",
    [
        "FR15 2004 1010 0505 0001 3M02 606",
        # The check digits of these are valid.
        "PN47 1234 5678 9012 34",  # of no country
        "DE54 3704 0044 0532 0130 001",  # too long
        "GB25 1234 1234 5698 7654 32",  # digits where the bank's letters belong
    ],
)
def test_what_lacks_one_of_these_is_not(number):
    assert not is_iban(number)
    assert mask(f"part {number} now") == f"part {number} now"
