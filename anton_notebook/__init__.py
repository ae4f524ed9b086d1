"""Watch, query, re-run and fork runs of LLM agents in a notebook.

The public names are listed in `__init__.pyi` and are loaded on first use, so that `import anton_notebook` stays fast.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
