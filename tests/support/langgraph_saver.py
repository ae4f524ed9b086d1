"""The store of checkpoints behind LangGraph's interface, as thin as it can be: for LangGraph's own suite of conformance.

Run as a script it runs the suite and prints a line of JSON. It needs `langgraph-checkpoint-conformance`, and is no part of the library.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path += sys.argv[1:]  # where the library and what it needs lie, after the suite's own

from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
)

from anton_notebook.experiments.checkpoints import Document, Store, Write


class Saver(BaseCheckpointSaver[str]):
    """Checkpoints as documents: thread, namespace and id are LangGraph's own; values are what its serializer makes of them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.store = Store(path)

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        given = config["configurable"]
        where = {"thread_id": given["thread_id"], "checkpoint_ns": given.get("checkpoint_ns", "")}
        self.store.put(
            where["thread_id"],
            checkpoint["id"],
            self.serde.dumps_typed(checkpoint),
            namespace=where["checkpoint_ns"],
            parent=given.get("checkpoint_id"),
            metadata=get_checkpoint_metadata(config, metadata),
        )
        return {"configurable": {**where, "checkpoint_id": checkpoint["id"]}}

    def put_writes(self, config: Any, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = "") -> None:
        given = config["configurable"]
        listed = [
            Write(task_id, WRITES_IDX_MAP.get(channel, at), channel, self.serde.dumps_typed(value), task_path)
            for at, (channel, value) in enumerate(writes)
        ]
        self.store.put_writes(
            given["thread_id"], given["checkpoint_id"], listed, namespace=given.get("checkpoint_ns", "")
        )

    def get_tuple(self, config: Any) -> CheckpointTuple | None:
        given = config["configurable"]
        found = self.store.get(given["thread_id"], get_checkpoint_id(config), namespace=given.get("checkpoint_ns", ""))
        return None if found is None else self._tuple(found)

    def list(
        self, config: Any, *, filter: Any = None, before: Any = None, limit: int | None = None
    ) -> Iterator[CheckpointTuple]:
        given = config["configurable"] if config else {}
        found = self.store.list(
            given.get("thread_id"),
            namespace=given.get("checkpoint_ns"),
            id=get_checkpoint_id(config) if config else None,
            before=get_checkpoint_id(before) if before else None,
            filter=filter,
            limit=limit,
        )
        return iter([self._tuple(document) for document in found])

    def delete_thread(self, thread_id: str) -> None:
        self.store.delete_thread(thread_id)

    def _tuple(self, document: Document) -> CheckpointTuple:
        where = {"thread_id": document.thread, "checkpoint_ns": document.namespace}
        parent = {"configurable": {**where, "checkpoint_id": document.parent}} if document.parent else None
        return CheckpointTuple(
            {"configurable": {**where, "checkpoint_id": document.id}},
            self.serde.loads_typed(document.body),
            document.metadata,
            parent,
            [(w.task, w.channel, self.serde.loads_typed(w.value)) for w in document.writes],
        )

    # The suite asks for the asynchronous names.

    async def aput(self, *given: Any) -> Any:
        return await asyncio.to_thread(self.put, *given)

    async def aput_writes(self, *given: Any, **named: Any) -> None:
        await asyncio.to_thread(self.put_writes, *given, **named)

    async def aget_tuple(self, config: Any) -> CheckpointTuple | None:
        return await asyncio.to_thread(self.get_tuple, config)

    async def alist(self, config: Any, **given: Any) -> AsyncIterator[CheckpointTuple]:
        for one in await asyncio.to_thread(self.list, config, **given):
            yield one

    async def adelete_thread(self, thread_id: str) -> None:
        await asyncio.to_thread(self.delete_thread, thread_id)


async def main() -> None:
    from langgraph.checkpoint.conformance import checkpointer_test, validate

    @checkpointer_test("anton_notebook")
    async def made() -> AsyncIterator[Saver]:
        with tempfile.TemporaryDirectory() as folder:
            yield Saver(Path(folder) / "checkpoints.db")

    report = await validate(made)
    results = {
        name: [one.tests_passed, one.tests_failed, [str(f) for f in one.failures]]
        for name, one in report.results.items()
        if one.detected
    }
    print(json.dumps(results))


if __name__ == "__main__":
    asyncio.run(main())
