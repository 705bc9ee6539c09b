"""The page that ``dvc plots`` writes."""

from project import ROOT


def test_page_of_dvc_plots_needs_no_network():
    page = (ROOT / ".dvc/plots/page.html").read_text(encoding="utf-8")
    assert page.count("{plot_divs}") == 1 and "{scripts}" not in page
    assert "window.vegaEmbed=" in page
    assert "<script src" not in page and "<link" not in page
    assert "html_template = plots/page.html" in (ROOT / ".dvc/config").read_text()
