"""Inner: the picture of a run, drawn without a browser, by the rules of the page's own layout."""

from anton_notebook.render.collapse import Folds
from anton_notebook.render.formatting import duration
from anton_notebook.render.layout import Layout
from anton_notebook.render.run_svg import by_agent, figures, run_svg, spans_of
from anton_notebook.render.scale import Spans
from anton_notebook.render.svg import svg
from anton_notebook.render.view_state import Camera, Seen

__all__ = [
    "Camera",
    "Folds",
    "Layout",
    "Seen",
    "Spans",
    "by_agent",
    "duration",
    "figures",
    "run_svg",
    "spans_of",
    "svg",
]
