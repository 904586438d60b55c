"""Tags, in which text is escaped and only tags are not."""

import html


class Markup(str):
    """Mark text that is HTML already."""

    __slots__ = ()


Attribute = str | int | float | bool


def tag(name: str, /, *children: str, **attributes: Attribute) -> Markup:
    """Write an element; what is no `Markup` among its children is escaped.

    A trailing underscore of an attribute is dropped, an inner one becomes a hyphen. ``True``
    writes the bare name, ``False`` and the empty text leave the attribute out.

    >>> tag("p", "a < b ", tag("b", "c"), class_="note")
    '<p class="note">a &lt; b <b>c</b></p>'
    """
    opening = "".join([name, *(_attribute(key, value) for key, value in attributes.items())])
    if name in ("img", "input", "meta"):
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{join(*children)}</{name}>")


def join(*children: str, between: str = "") -> Markup:
    """Write children one after the other, escaped where they are no `Markup`."""
    return Markup(between.join(map(_escaped, children)))


def _escaped(child: str) -> str:
    return child if isinstance(child, Markup) else html.escape(child, quote=False)


def _attribute(key: str, value: Attribute) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    if value is False or value == "":
        return ' alt=""' if name == "alt" else ""  # an image without words still needs the name
    return f' {name}="{html.escape(str(value))}"'
