"""What a strategy wants to send in a round."""

from collections.abc import Sequence
from dataclasses import dataclass

from flwr.app import Message

from privfl.core import CompositionError
from privfl.flower._arrays import Arrays
from privfl.flower._letters import Kind
from privfl.pipeline import Pipeline


@dataclass(frozen=True)
class Asked:
    """Hold the messages of one round.

    Attributes:
        kind: what the clients are asked to do.
        model: what all of them are sent.
        messages: one a node.
    """

    kind: Kind
    model: Arrays
    messages: Sequence[Message]

    @classmethod
    def of(cls, messages: Sequence[Message], shield: Pipeline) -> "Asked":
        """Read what the messages have in common.

        Raises:
            CompositionError: for other messages than training and evaluation, which would travel
                beside the pipeline (rule R7), or different models (rule R20).
        """
        first = messages[0].content
        if any(message.content.array_records != first.array_records for message in messages[1:]):
            raise CompositionError(
                "R20",
                (shield,),
                "The strategy sends different models, whose updates have no mean",
                "Send everybody the same, and keep what is personal out of the ArrayRecord",
            )
        return cls(_kind(messages, shield), Arrays.of(first), messages)


def _kind(messages: Sequence[Message], shield: Pipeline) -> Kind:
    match sorted({message.metadata.message_type.split(".")[0] for message in messages}):
        case ["train"]:
            return "train"
        case ["evaluate"]:
            return "evaluate"
        case kinds:
            raise CompositionError(
                "R7",
                (shield,),
                f"Messages of the types {', '.join(kinds)} would travel beside the pipeline",
                "Ask for training or for evaluation, one at a time",
            )
