"""Inner: the picture of a run, drawn without a browser, by the rules of the page's own layout."""

from anton_notebook.picture.draw import svg
from anton_notebook.picture.folds import Folds
from anton_notebook.picture.layout import Layout
from anton_notebook.picture.run import by_agent, figures, run_svg, spans_of
from anton_notebook.picture.scale import Spans
from anton_notebook.picture.seen import Camera, Seen
from anton_notebook.picture.words import duration

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
