"""A ledger that is not what was written."""


class LedgerTampered(RuntimeError):
    """What lies in the file was not written by a ledger, or not all of what was written lies there.

    >>> raise LedgerTampered("run.db: entry 3 does not follow entry 2")
    Traceback (most recent call last):
    ...
    privfl.ledger._tampered.LedgerTampered: run.db: entry 3 does not follow entry 2
    """
