"""`TraceGraph` under the oldest ipykernel, the first one with subshells, and the newest."""

from __future__ import annotations

import pytest

from tests.tools import kernels


@pytest.mark.nightly
def test_graph_works_under_every_ipykernel() -> None:
    assert kernels.main([]) == 0
