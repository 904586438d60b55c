"""What a linear compressor asks for where it stands."""

from privfl.core import CompositionError, Contract
from privfl.parts import Part


def require_real(part: Part, given: Contract) -> None:
    """Refuse a place behind a part that made integers: their grid and norm are planned already.

    Raises:
        CompositionError: behind `Quantize`, for one (rule R4).
    """
    if given.form == "real":
        return
    form = given.author("form")
    raise CompositionError(
        "R4",
        (form, part),
        f"{part!r} takes real numbers, and stands behind {form!r}",
        "Put it before the rounding",
    )
