"""Who may rest on whom: the columns that a long run is walked by say the same as the rule for two calls."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from anton_notebook.experiments.replay.dependencies import Order
from anton_notebook.experiments.replay.recording import Node

MOMENT = st.one_of(st.none(), st.integers(0, 400).map(lambda n: n * 1_000))


@st.composite
def nodes(draw: Any) -> list[Node]:
    found: list[Node] = []
    for place in range(draw(st.integers(1, 9))):
        start, end = draw(MOMENT), draw(MOMENT)
        span = SimpleNamespace(agent=draw(st.sampled_from(["a", "b", None])), name="n", span_id=str(place))
        node = Node(place, span, draw(st.sampled_from(["llm", "tool"])), start, end, {})
        node.parent = draw(st.integers(-1, place - 1))
        found.append(node)
    return found


@given(nodes(), st.data())
def test_the_columns_say_what_the_rule_says(found: list[Node], data: st.DataObject) -> None:
    order = Order(SimpleNamespace(nodes=found))  # type: ignore[arg-type]
    for node in found:
        rests, rested = order.rests_on(node), order.rested_on_by(node)
        for other in found:
            assert rests[other.place] == order.may_rest(node, other)
            assert rested[other.place] == order.may_rest(other, node)
    node = data.draw(st.sampled_from(found))
    for agent in ("a", "b", None):
        before = [n for n in found[: node.place] if n.kind == "llm" and n.agent == agent and order.may_rest(node, n)]
        assert order.last_before(node, agent) is (before[-1] if before else None)
