"""Which datasets are neighbours."""

from enum import StrEnum


class Relation(StrEnum):
    """Say how two neighbouring datasets differ. One word a charge, and never mixed (rule R18).

    ``ZERO_OUT``: one unit's contribution is replaced by zero; the number of units is public.
    ``REPLACE_ONE``: one unit's contribution is replaced by any other.
    ``ADD_REMOVE``: one unit is there or not; denominators must be public constants.

    >>> Relation.of("replace-one").change(1.0)
    2.0
    """

    ZERO_OUT = "zero-out"
    REPLACE_ONE = "replace-one"
    ADD_REMOVE = "add/remove"

    @classmethod
    def of(cls, value: object) -> "Relation":
        """Accept a relation, its word, or a ``dp_accounting.NeighboringRelation``."""
        name = getattr(value, "name", value)
        known = {"REPLACE_SPECIAL": cls.ZERO_OUT, "ADD_OR_REMOVE_ONE": cls.ADD_REMOVE}
        known |= {relation.name: relation for relation in cls}
        known |= {relation.value: relation for relation in cls}
        if not isinstance(name, str) or name not in known:
            words = ", ".join(relation.value for relation in cls)
            raise ValueError(f"relation must be one of {words}. Found {value!r}.")
        return known[name]

    def change(self, clip_norm: float) -> float:
        """Return how far one unit moves a sum of vectors of norm ``clip_norm`` (rule R2)."""
        return 2 * clip_norm if self is Relation.REPLACE_ONE else clip_norm
