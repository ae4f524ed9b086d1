"""`python -m anton_notebook.simulate`."""

from anton_notebook.simulate import main

raise SystemExit(main())
