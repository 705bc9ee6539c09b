"""Letters that another program has broken are noticed, and real letters are not taken for them."""

import pyarrow as pa
import pytest
from ledger_files import HEADER, csv_text, ingest_params, many, read

from stages.lib.ledger.broken_letters import Broken, broken_letters, find_broken, mended

REAL = [
    "café", "Gebühr", "AÇÃO", "SÃO PAULO", "IRMÃO", "Ærø", "ÄÖÜß", "naïve – ‘ça’", "25 °C", "3½”",
    "“IRMÔ", "«CAFÉ»", "‚Ärger‘", "№ 5", "Рівне", "Іі Її Єє", "РР", "Ёлка", "ΑΒΓΔ", "Αθήνα",
    "(株)한빛", "美대사관", "中국 캬", "茅台酒", "株式会社", "ｶﾌｪ", "ŁÓDŹ", "ŻÓŁĆ", "ČEŽ", "ĽUBOŠ",
    "İŞĞÇ", "¡¡¡¡", "°°°°", "§§§§", "££££", "T€ 5", "a √ b", "¿Qué?", "œuvre", "Œ", "ﬁn", "🎉🎉",
    "Ø–Ø", "plain", "",
]  # fmt: skip
WORDS = [
    "café",
    "Gebühr für Öl",
    "naïve",
    "£5",
    "€ 5",
    "it’s",
    "“so”",
    "Привет",
    "김밥천국",
    "東京",
]


@pytest.mark.parametrize("text", REAL)
def test_real_letters_are_not_broken(text):
    assert mended(text) is None


@pytest.mark.parametrize("text", WORDS)
def test_utf8_that_was_taken_for_western_text_is_mended(text):
    broken = "".join(
        bytes([byte]).decode("cp1252") if byte not in b"\x81\x8d\x8f\x90\x9d" else chr(byte)
        for byte in text.encode()
    )
    assert mended(broken) == text
    assert mended(f"x {broken} Köln") == f"x {text} Köln"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("café", "cp1250"), ("café", "mac_roman"), ("Gebühr", "cp850"), ("Gebühr", "cp437"),
        ("Привет", "cp1251"), ("문구", "cp949"), ("カフェ", "cp932"), ("北京", "gbk"),
    ],
)  # fmt: skip
def test_utf8_that_was_taken_for_another_encoding_is_mended(text, encoding):
    assert mended(text.encode().decode(encoding)) == text


@pytest.mark.parametrize(("text", "encoding"), [("한글날", "euc_kr"), ("Привет", "cp1251")])
def test_other_encodings_that_were_taken_for_western_text_are_mended(text, encoding):
    assert mended(text.encode(encoding).decode("latin-1")) == text


@pytest.mark.parametrize("text", ["caf\ufffd", "占쏙옙", "锟斤拷", "ï¿½"])
def test_lost_letters_cannot_be_mended(text):
    assert mended(text) == ""


def test_cells_are_counted_and_one_is_shown_masked():
    params = ingest_params("raw")
    columns = {
        "vendor": pa.array(["cafÃ© a@b.org", "café", "cafÃ© a@b.org", "ê¹€"]),
        "memo": pa.array(["x", "caf\ufffd", "", "y"]),
        "amount": pa.array(["1", "2", "3", "\ufffd5"]),
    }
    assert find_broken(columns, params) == {
        "broken": Broken(3, "'cafÃ© [email]' for 'café [email]'"),
        "lost": Broken(1, "'caf\ufffd'"),
    }


def test_all_suspects_are_looked_at():
    params = ingest_params("raw")
    broken = [word.encode().decode("cp1252", "replace") for word in ("café", "Привет")]
    broken += ["Gebühr".encode().decode("cp850"), "문구".encode().decode("cp949")]
    broken += ["한글날".encode("euc_kr").decode("latin-1"), "カフェ".encode().decode("cp932")]
    for text in broken:
        assert find_broken({"memo": pa.array([text, "x"])}, params)["broken"].cells == 1


def test_several_sheets_are_one_line():
    found = [
        ("a.csv", {"lost": Broken(2, "x")}),
        ("b.csv", {}),
        ("c.csv", {"lost": Broken(1, "y")}),
    ]
    (line,) = broken_letters(found)
    assert line.startswith("a.csv and 1 other sheets: 3 cells")
    assert broken_letters([("a.csv", {})]) == []


def test_reading_remarks_on_broken_letters_and_not_on_real_ones(tmp_path):
    rows = [[*row[:2], "Café Öl" if i else "CafÃ© Öl", *row[3:]] for i, row in enumerate(many(9))]
    (tmp_path / "a.csv").write_text(csv_text([HEADER, *rows]), encoding="utf-8")
    (remark,) = read(tmp_path).remarks
    assert "a.csv: 1 cells" in remark and "'Café Öl'" in remark and "encoding" in remark
    (tmp_path / "a.csv").write_text(csv_text([HEADER, *rows[1:]]), encoding="utf-8")
    assert read(tmp_path).remarks == []
