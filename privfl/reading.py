"""Pipelines from text, without running the text."""

import ast

from privfl.core import require
from privfl.parts import Part
from privfl.pipeline import Pipeline
from privfl.sampling import Sampling

Value = Part | Sampling | Pipeline | int | float | str | bool | frozenset[str] | None
Known = dict[str, type[Part] | type[Sampling] | type[Pipeline]]


def read_pipeline(text: str) -> Pipeline:
    """Read what `repr` of a pipeline wrote: calls of parts with plain arguments, and nothing else.

    Raises:
        ValueError: for anything that is no such call, or a name that is no part.
        CompositionError: where the parts contradict each other.

    >>> read_pipeline("Pipeline(Clip(1.0), Mean())")
    Pipeline(Clip(clip_norm=1.0), Mean())
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        raise ValueError(f"A pipeline is written as in Python. Found {text!r}.") from None
    pipeline = _value(node, _parts())
    require(isinstance(pipeline, Pipeline), "The text must be Pipeline(…)", repr(text))
    return pipeline  # type: ignore[return-value]


def _parts() -> Known:
    from privfl import compression, parts, sampling
    from privfl.defenses import dp, he, masking, robust

    rooms = (parts, compression, dp, he, masking, robust, sampling)
    names = {name: getattr(room, name) for room in rooms for name in room.__all__}
    kinds = (Part, sampling.Sampling)
    known = {k: v for k, v in names.items() if isinstance(v, type) and issubclass(v, kinds)}
    return {"Pipeline": Pipeline, **known}


def _value(node: ast.expr, known: Known) -> Value:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        name = node.func.id
        require(name in known, f"A part is one of {', '.join(sorted(known))}", repr(name))
        keywords = {k.arg: _value(k.value, known) for k in node.keywords if k.arg}
        try:
            return known[name](*(_value(arg, known) for arg in node.args), **keywords)  # type: ignore[arg-type]
        except TypeError as error:
            raise ValueError(f"{ast.unparse(node)}: {error}.") from None
    if isinstance(node, ast.Set):
        return frozenset(ast.literal_eval(node))
    try:
        return ast.literal_eval(node)  # type: ignore[no-any-return]
    except ValueError:
        raise ValueError(f"Arguments are plain values. Found {ast.unparse(node)!r}.") from None
