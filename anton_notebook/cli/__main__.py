"""`python -m anton_notebook.cli`, for where the command is not on the PATH."""

from anton_notebook.cli import main

raise SystemExit(main())
