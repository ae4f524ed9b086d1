"""The graph under the oldest, the first with subshells, and the newest ipykernel."""

from __future__ import annotations

import pytest

from tests.tools import kernels


@pytest.mark.nightly
def test_graph_works_under_every_ipykernel() -> None:
    assert kernels.main([]) == 0
