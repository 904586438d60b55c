"""Whose presence a guarantee hides."""

from enum import StrEnum


class Unit(StrEnum):
    """Say what one unit of privacy is: one record of a dataset, or one client with all its data.

    >>> Unit("client") is Unit.CLIENT
    True
    """

    RECORD = "record"
    CLIENT = "client"

    @classmethod
    def _missing_(cls, value: object) -> "Unit":
        """Say which units there are."""
        raise ValueError(f"unit must be 'record' or 'client'. Found {value!r}.")
