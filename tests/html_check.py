"""Check that an HTML page is well formed and needs nothing from outside itself."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr"}


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href"):
                assert value.startswith(("data:", "#")), f"{tag} loads {value[:60]}"

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes another tag"


def check_page(text: str) -> None:
    """Raise AssertionError unless tags are balanced and nothing is loaded from elsewhere."""
    page = _Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert "@import" not in text and "url(" not in text
