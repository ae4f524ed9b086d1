"""The notebook widget. Start with `trace_graph`, which holds `TraceGraph` and composes the other modules."""
