"""Vendors whose texts have a reference number, so that nearly every row has a vendor of its own."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Above this share of rows with a vendor of their own, vendors say nothing about other rows.
MOSTLY = 0.5
# A name that more of the rows have is no vendor, such as what is left of "INV 4711".
_TOO_COMMON = 0.5

_SIGNS = r"[\s*#/:;,._]+"
_REFERENCE = r"\S*\d\S*\d\S*"
_DIGIT = r"(?:^|\s)\d(?:\s|$)"


def plain_vendors(vendors: pa.Array) -> pa.Array:
    """Return vendors without numbers and words with two digits or more.

    "amzn mktp ca*2k4tx81" is "amzn mktp ca". A vendor of which nothing is left stays as it is.

    Parameters
    ----------
    vendors : Array of string, (rows,)
    """
    plain = vendors
    for pattern, text in ((_SIGNS, " "), (_REFERENCE, ""), (_DIGIT, " "), (r"\s+", " ")):
        plain = pc.replace_substring_regex(plain, pattern, text)
    plain = pc.utf8_trim_whitespace(plain)
    return pc.if_else(pc.equal(plain, ""), vendors, plain)


def share_alone(vendor: np.ndarray) -> float:
    """Return the share of the rows whose vendor no other row has.

    Parameters
    ----------
    vendor : ndarray of int64, (rows,)
        A number for each vendor; rows without one are left out.
    """
    if not len(vendor):
        return 0.0
    _, rows = np.unique(vendor, return_counts=True)
    return float((rows == 1).sum() / len(vendor))


def are_better(plain: np.ndarray, vendor: np.ndarray) -> bool:
    """Return whether vendors say more without their numbers; parameters as `share_alone`."""
    _, rows = np.unique(plain, return_counts=True)
    return rows.max() <= _TOO_COMMON * len(plain) and share_alone(plain) < share_alone(vendor)
