"""Ledgers in the languages and encodings that accountants have."""

from ledger_files import HEADER

KOREAN = [["일자", "거래처", "적요", "금액", "계정", "계정명"],
          ["2020-04-16", "한우마을", "의원실 간담회 식대", "123000", "0101", "식비"],
          ["2020-04-17", "(주)에스케이", "주유비", "50000", "2010", "차량"]]  # fmt: skip
FRENCH = [HEADER, ["2020-04-16", "Hôtel Müller", "Café crème – 2 €", "95.58", "0101", "REPAS"],
          ["2020-04-17", "Peña", "Straße", "1234", "2010", "ÉTUDES"]]  # fmt: skip
JAPANESE = [HEADER, ["2020-04-16", "東京電力", "タクシー代 会議", "1200", "0101", "旅費交通費"],
            ["2020-04-17", "コクヨ", "コピー用紙の購入", "3000", "2010", "消耗品費"]]  # fmt: skip
IN_KANJI = [["日付", "取引先", "摘要", "金額", "科目", "名称"], *JAPANESE[1:]]
BOOKED = [HEADER, ["令和2年4月16日", "会議費", "打合せ　珈琲", "1", "0101", "摘要"]]
CHINESE = [HEADER, ["2020-04-16", "北京电力公司", "办公用品采购", "1", "0101", "差旅费"]]
# The same two bytes are a Hangul syllable in CP949.
DOUBLE = [HEADER, ["2020-04-16", "BÄÖLE", "FORMAÇÃO E MANUTENÇÃO", "1", "0101", "X"]]
RARE = [HEADER, ["2020-04-16", "삵쾡이", "빛깔 섶 맵시", "1", "0101", "넋"]]
# So much Hangul that few characters have a zero byte.
DENSE = [*KOREAN, ["2020-04-18", "한우마을", "의원실 간담회 식대" * 40, "1", "0101", "식비"]]
HEBREW = [HEADER, ["2020-04-16", "חשמל", "ציוד משרדי נייר", "1", "0101", "X"]]
POLISH = [HEADER, ["2020-04-16", "Łódź", "Zakup materiałów biurowych, książka", "1", "0101", "X"]]
CAPITALS = [HEADER, ["2020-04-16", "GEBÄUDE", "ÄNDERUNG ANLÄSSLICH", "1", "0101", "STÄNDE"]]


def of_words(*words: str) -> list[list[str]]:
    rows = [["2020-04-16", f"{w} 1", f"{w} kft", "1", "0101", w.upper()] for w in words]
    return [HEADER, *rows]


HUNGARIAN = of_words("Vevő", "Fűtésszámla", "Őrzés", "Irodaszer", "Üzemanyag", "Könyvelési díj")
CZECH = of_words("Škoda", "Údržba", "Kancelářské potřeby", "Pojištění", "Jízdné", "Tržby")
TURKISH = of_words("Ulaşım gideri", "Yakıt", "Kırtasiye", "Doğalgaz", "Çiçek", "Öğle yemeği")
SWISS = of_words("Büro", "Gebühr", "Électricité", "Crème", "Café à emporter", "Forêt", "Città")
GREEK = of_words("Έξοδα γραφείου", "Λογαριασμός", "Ενοίκιο", "Καύσιμα αυτοκινήτου")
# The syllables of 소모품 are Chinese words, too.
CONSUMABLES = of_words("소모품비", "소모품 구입")
PORTUGUESE = of_words("Refeições", "Manutenção", "Combustível", "Água", "Táxi", "Portagens")

# (rows, the encoding in which they are written, the encoding that must be found).
CASES = [
    (HUNGARIAN, "cp1250", "cp1250"),
    (CZECH, "cp1250", "cp1250"),
    (CZECH, "iso8859_2", "iso8859_2"),
    (TURKISH, "cp857", "cp857"),
    (TURKISH, "cp1254", "cp1254"),
    (SWISS, "cp1252", "cp1252"),
    (SWISS, "mac_roman", "mac_roman"),
    (PORTUGUESE, "cp1252", "cp1252"),
    (PORTUGUESE, "cp850", "cp850"),
    (JAPANESE, "iso2022_jp", "iso2022_jp"),
    (KOREAN, "utf-8", "utf-8"),
    (KOREAN, "utf-8-sig", "utf-8-sig"),
    (KOREAN, "utf-16", "utf-16"),
    (KOREAN, "utf-16-be", "utf-16-be"),
    (FRENCH, "utf-16-le", "utf-16-le"),
    (KOREAN, "cp949", "cp949"),
    (KOREAN, "euc-kr", "cp949"),
    (FRENCH, "cp1252", "cp1252"),
    (JAPANESE, "cp932", "cp932"),
    (IN_KANJI, "euc_jp", "euc_jp"),
    (BOOKED, "euc_jp", "euc_jp"),
    (GREEK, "cp1253", "cp1253"),
    (CAPITALS, "cp1252", "cp1252"),
    (DOUBLE, "cp1252", "cp1252"),
    (RARE, "cp949", "cp949"),
    (CONSUMABLES, "cp949", "cp949"),
    (CHINESE, "gb18030", "gb18030"),
    (POLISH, "cp1250", "cp1250"),
    (DENSE, "utf-16-le", "utf-16-le"),
    (DENSE, "utf-16-be", "utf-16-be"),
]
# Hebrew is not known; this one word could be Korean, Greek or Chinese.
UNCLEAR = [(HEBREW, "cp1255"), ([HEADER, ["2020-04-16", "한빛", "", "1", "0101", ""]], "cp949")]
