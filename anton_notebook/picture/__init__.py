"""Inner: the picture of a run, drawn without a browser, by the rules of the page's own layout."""

from anton_notebook.picture.draw import View, duration, svg
from anton_notebook.picture.layout import Layout
from anton_notebook.picture.run import by_agent, figures, run_svg, spans_of
from anton_notebook.picture.scale import Spans

__all__ = ["Layout", "Spans", "View", "by_agent", "duration", "figures", "run_svg", "spans_of", "svg"]
