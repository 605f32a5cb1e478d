"""Numbers of the tables as people read them."""

from __future__ import annotations

import re


def three_decimals(value: float) -> str:
    """Return a number as papers write it: ``.742``."""
    return re.sub(r"^(-?)0\.", r"\1.", f"{value:.3f}")


def short(value: str) -> str:
    """Return a number of a table with fewer digits, as papers write it; nothing where nothing is known."""
    return three_decimals(float(value)) if value else ""


def probability(value: str) -> str:
    """Return a p-value: one that is nearly 0 is not 0."""
    return "" if not value else "<.001" if float(value) < 0.0005 else short(value)


def signed(value: str) -> str:
    """Return a difference with its sign; what is nearly 0 has none."""
    if not value:
        return ""
    size = three_decimals(abs(float(value)))
    sign = "" if size == ".000" else "+" if float(value) > 0 else "−"
    return sign + size
