"""A run as a static picture and as rows of figures, without a browser. Start with `timeline_svg.run_svg`."""

from anton_notebook.render.run_summary import agent_rows, figures
from anton_notebook.render.timeline_svg import run_svg

__all__ = ["agent_rows", "figures", "run_svg"]
