"""A ledger that cannot be reached now."""


class LedgerUnavailable(RuntimeError):
    """The file cannot be read or written now: locked, read-only, no space. Nothing was written.

    >>> raise LedgerUnavailable("run.db: database is locked")
    Traceback (most recent call last):
    ...
    privfl.ledger._unavailable.LedgerUnavailable: run.db: database is locked
    """
