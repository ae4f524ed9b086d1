"""What a reloaded page asks is answered while a cell runs, and nothing else is led past that cell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from anton_notebook.widget.ipykernel_compat import answer_beside_cells
from tests.support.pages import line
from tests.tools import kernels

BUSY = "while not open({mark!r}).read(): pass"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[KernelManager]:
    made = KernelManager(kernel_name="python3")
    made.start_kernel(cwd=str(tmp_path))
    yield made
    made.shutdown_kernel(now=True)


def test_a_reloaded_page_is_answered_while_a_cell_runs_and_other_messages_wait(
    manager: KernelManager, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_bytes(line("s1"))
    mark = tmp_path / "mark"
    mark.touch()
    front = kernels.Front(manager)
    front.cell(f"import anton_notebook as anb\ngraph = anb.TraceGraph({str(tmp_path)!r}, height=321)")
    front.cell("manager = get_ipython().kernel.shell_channel_thread.manager\nassert manager.list_subshell() == []")
    kernels.reloaded(manager)
    (comm,) = [name for name, state in front.seen.states.items() if state.get("height") == 321]
    run = front.cell(BUSY.format(mark=str(mark)), wait=False)
    front.take(0.3)
    later = front.client.execute("pass")
    for height in (400, 500):
        update = {"comm_id": comm, "data": {"method": "update", "state": {"height": height}, "buffer_paths": []}}
        front.client.shell_channel.send(front.client.session.msg("comm_msg", update))
    for _ in range(3):
        _, states = kernels.reloaded(manager)
        assert [one["state"]["height"] for one in states.values() if "height" in one["state"]] == [321]
    front.take(0.2)
    assert run not in front.seen.ended and later not in front.seen.ended
    mark.write_text("end")
    front.until(lambda: {run, later} <= set(front.seen.ended))
    front.cell("assert len(manager.list_subshell()) == 1, manager.list_subshell()")
    front.cell("assert graph.height == 500\ngraph.close()")
    kernels.reloaded(manager)
    assert front.seen.failed == ""


class Socket:
    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send_multipart(self, frames: Any, copy: bool = True) -> None:
        self.sent.append(frames)


class Kernel:
    """What of ipykernel is needed; `busy` is whether a cell runs."""

    def __init__(self) -> None:
        self.busy, self.shells = True, {None: Socket()}
        self.shell_channel_thread = self._main_asyncio_lock = self.session = self._manager = self

    def locked(self) -> bool:
        return self.busy

    def sign(self, parts: list[bytes]) -> bytes:
        return b"signed"

    def get_shell_channel_to_subshell_socket(self, name: Any) -> Socket:
        return self.shells[name]

    def list_subshell(self) -> list[Any]:
        return [name for name in self.shells if name]

    def _create_subshell(self) -> str:
        self.shells["ours"] = Socket()
        return "ours"


def message(kind: str, **content: Any) -> list[bytes]:
    head = json.dumps({"msg_type": kind, "msg_id": "1"}).encode()
    return [b"from", b"<IDS|MSG>", b"sig", head, b"{}", b"{}", json.dumps(content).encode()]


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b"<IDS|MSG>"],
        [b"<IDS|MSG>", b"", b"{", b"{}", b"{}", b"{}"],
        [b"<IDS|MSG>", b"", b"[]", b"{}", b"{}", b"{}"],
        [b"<IDS|MSG>", b"", b'{"msg_type": "comm_open"}', b"{}", b"{}", b"3"],
        [b"<IDS|MSG>", b"", b'{"msg_type": ["comm_info_request"]}', b"{}", b"{}", b"{}"],
        message("execute_request", code="1"),
        message("comm_open", comm_id="c", target_name="jupyter.widget"),
        message("comm_msg", comm_id="c", data={"method": "request_states"}),
        message("comm_info_request", pad="x" * 5000)[:-1],
    ],
)
def test_what_is_no_such_question_goes_to_the_main_shell_as_it_came(frames: list[bytes]) -> None:
    kernel = Kernel()
    assert answer_beside_cells(kernel) and answer_beside_cells(kernel)
    kernel.get_shell_channel_to_subshell_socket(None).send_multipart(frames, copy=False)
    assert kernel.shells[None].sent == [frames]
    assert list(kernel.shells) == [None]


def test_a_comm_that_asks_for_states_stays_with_its_shell_until_it_is_closed() -> None:
    kernel = Kernel()
    assert answer_beside_cells(kernel)

    def send(kind: str, **content: Any) -> None:
        kernel.get_shell_channel_to_subshell_socket(None).send_multipart(message(kind, **content))

    send("comm_open", comm_id="c", target_name="jupyter.widget.control")
    kernel.busy = False
    for kind in ("comm_msg", "comm_close", "comm_msg"):
        send(kind, comm_id="c")
    send("kernel_info_request")
    kinds = {name: [json.loads(one[3])["msg_type"] for one in shell.sent] for name, shell in kernel.shells.items()}
    assert kinds == {None: ["comm_msg", "kernel_info_request"], "ours": ["comm_open", "comm_msg", "comm_close"]}
    assert all(
        json.loads(one[3])["subshell_id"] == "ours" and one[2] == b"signed" for one in kernel.shells["ours"].sent
    )


@pytest.mark.parametrize("kernel", [None, object(), 3])
def test_other_kernels_are_left_as_they_are(kernel: object) -> None:
    assert answer_beside_cells(kernel) is False
