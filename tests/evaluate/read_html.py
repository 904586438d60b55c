"""Read a page as a tree, and complain where it is not well formed."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"img", "input", "meta"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None] = field(default_factory=dict)
    children: list["Element | str"] = field(default_factory=list)

    def __iter__(self):
        """Every element in it, itself first."""
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child

    @property
    def text(self) -> str:
        return "".join(c if isinstance(c, str) else c.text for c in self.children)

    def find(self, tag: str = "", **attributes: str) -> list["Element"]:
        """Elements of a tag, with a word in an attribute."""
        return [
            element
            for element in self
            if tag in ("", element.tag)
            and all(
                word in (element.attributes.get(name.rstrip("_")) or "").split()
                for name, word in attributes.items()
            )
        ]


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.stack = [Element("page")]

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"<{tag}> repeats an attribute"
        element = Element(tag, dict(attrs))
        self.stack[-1].children.append(element)
        if tag not in VOID:
            self.stack.append(element)

    def handle_endtag(self, tag):
        assert self.stack.pop().tag == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.stack[-1].children.append(data)


def read_html(page: str) -> Element:
    reader = _Reader()
    reader.feed(page)
    reader.close()
    (root,) = reader.stack
    return root
