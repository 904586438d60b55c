"""How a client says no."""

from enum import IntEnum

from privfl.core import BudgetExceeded, CompositionError, ProtocolAbort


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

    @classmethod
    def of(cls, error: Exception) -> "Refusal":
        """Return what a server may read of an error: what is made of public values."""
        match error:
            case Refusal():
                return error
            case BudgetExceeded():
                return cls(Reason.SPENT, str(error))
            case ProtocolAbort() | CompositionError():
                return cls(Reason.REFUSED, str(error))
        return cls(Reason.FAILED, f"{type(error).__name__} in this client; its log says more")
