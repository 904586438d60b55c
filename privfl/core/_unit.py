"""Whose presence a guarantee hides."""

from enum import Enum


class Unit(str, Enum):
    """Say what one unit of privacy is: one record of a dataset, or one client with all its data.

    >>> Unit("client") is Unit.CLIENT
    True
    """

    RECORD = "record"
    CLIENT = "client"
