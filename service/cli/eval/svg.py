"""SVG that stands inside a page."""

import io

import matplotlib as mpl
from matplotlib.figure import Figure


def svg(figure: Figure, salt: str) -> str:
    """The drawing from its own tag on, with text as text, and the same for the same figures.

    Args:
        salt: of the names inside the drawing, which must differ on one page.
    """
    file = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    return text[text.index("<svg") :]
