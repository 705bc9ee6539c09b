"""The records of binary workbooks are walked through, one after the other."""

import struct

from stages.lib.ledger.book_records import old_records, packed_records


def test_records_of_xlsb_have_types_and_lengths_of_one_byte_or_more():
    small, wide, long = b"\x07\x02ab", b"\x81\x01\x00", b"\x06\x81\x01" + b"c" * 129
    assert list(packed_records(small + wide + long)) == [
        (b"\x07\x02", 7, b"ab"), (b"\x81\x01\x00", 0x81, b""), (b"\x06\x81\x01", 6, b"c" * 129)
    ]  # fmt: skip


def test_records_of_xls_end_with_their_sheet():
    def record(kind: int, body: bytes = b"") -> bytes:
        return struct.pack("<HH", kind, len(body)) + body

    chart = record(0x0809) + record(0x0001, b"x") + record(0x000A)
    sheet = record(0x0809, b"ab") + chart + record(0x0208, b"row") + record(0x000A)
    found = [(kind, body) for kind, body in old_records(b"head" + sheet + sheet, 4)]
    assert found == [
        (0x0809, b"ab"), (0x0809, b""), (0x0001, b"x"), (0x000A, b""), (0x0208, b"row"),
        (0x000A, b""),
    ]  # fmt: skip
    assert list(old_records(sheet[:8])) == [(0x0809, b"ab")]
    assert list(old_records(b"")) == []
