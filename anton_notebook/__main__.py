"""`python -m anton_notebook`: the command line."""

from anton_notebook.cli import main

raise SystemExit(main())
