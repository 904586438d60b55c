"""Which pipelines a Flower app can run."""

from privfl.core import CompositionError, require
from privfl.pipeline import Pipeline


def require_served(shield: Pipeline, registry: object) -> None:
    """Refuse a pipeline that no Flower app can run as it is asked to."""
    if shield.trainer is not None:
        raise CompositionError(
            "R33",
            (shield.trainer,),
            f"{shield.trainer!r} trains, and in a Flower app the app does",
            "Leave it out, and use privfl.make_private in the train function",
        )
    wanted = f"{shield.protocol!r} signs letters: pass registry="
    require(not shield.protocol.signs or registry is not None, wanted, "none")
