"""How a client says no."""

from enum import IntEnum


class Reason(IntEnum):
    """Codes of the error replies of a guarded client, above those that Flower itself uses."""

    REFUSED = 5201  # the letter does not fit this client's pipeline, policy or session
    WEIGHTS = 5202  # the reply has example counts, and the pipeline would ignore them
    SPENT = 5203  # a budget of this client's own ledger
    FAILED = 5204  # the app or its data


class Refusal(RuntimeError):
    """Nothing is sent but this: a code and a sentence of public values."""

    def __init__(self, code: Reason, sentence: str) -> None:
        """Store the code beside the sentence."""
        self.code = code
        super().__init__(sentence)
