"""Check that an HTML page is well formed and needs nothing from outside itself.

It may link to the tables of `evaluate` beside it: a reader clicks there, no browser loads them.
"""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr"}


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if (tag, name) == ("a", "href"):
                assert value.startswith(("#", "../../data/evaluate/")), f"links to {value[:60]}"
                self.links.add(value)
            elif name in ("src", "href"):
                assert value.startswith("data:"), f"{tag} loads {value[:60]}"
            elif name == "id":
                self.ids.add(value)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes another tag"


def check_page(text: str) -> set[str]:
    """Return the files that the page links to; raise AssertionError unless tags are balanced, links
    within the page lead somewhere, and nothing is loaded from elsewhere."""
    page = _Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert "@import" not in text and "url(" not in text
    assert {f"#{name}" for name in page.ids} >= {link for link in page.links if link[0] == "#"}
    return {link for link in page.links if link[0] != "#"}
