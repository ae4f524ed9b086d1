"""Inner: a page that is reloaded while a cell runs finds its widgets at once (ipykernel 7).

Before it restores any widget, a front end asks the main shell which kernel this is, which comms are open, and, on a comm
for that alone, for the states of all widgets; so it waits for the running cell. These questions change nothing: while the
main shell is busy a subshell of ours answers them.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

log = logging.getLogger(__name__)

QUESTIONS = frozenset({"kernel_info_request", "comm_info_request"})
STATES = "jupyter.widget.control"
_LONGEST = 4096
_END = b"<IDS|MSG>"


class _MainShell:
    """Stands where ipykernel looks for the main shell's socket. Used in the shell channel's thread alone."""

    def __init__(self, kernel: Any, manager: Any) -> None:
        self._busy = kernel._main_asyncio_lock.locked
        self._sign = kernel.session.sign
        self._manager = manager
        self._find = manager.get_shell_channel_to_subshell_socket
        self._ours: str | None = None
        self._asking: set[str] = set()

    def find(self, subshell_id: str | None) -> Any:
        return self if subshell_id is None else self._find(subshell_id)

    def send_multipart(self, frames: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        socket = self._find(None)
        try:
            if (self._asking or self._busy()) and self._beside(*read(frames)):
                if self._ours not in self._manager.list_subshell():
                    self._ours = self._manager._create_subshell()
                frames, socket = to_subshell(frames, self._ours, self._sign), self._find(self._ours)
        except Exception:
            self._asking.clear()  # what follows goes where this message went
            log.debug("a question waits for the running cell", exc_info=True)
        return socket.send_multipart(frames, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(None), name)

    def _beside(self, kind: str, content: Mapping[str, Any]) -> bool:
        comm = str(content.get("comm_id"))
        if kind == "comm_open" and content.get("target_name") == STATES and self._busy():
            self._asking.add(comm)
            return True
        if kind == "comm_close" and comm in self._asking:
            self._asking.remove(comm)
            return True
        return (kind == "comm_msg" and comm in self._asking) or (kind in QUESTIONS and self._busy())


def read(frames: Sequence[Any]) -> tuple[str, Mapping[str, Any]]:
    """The type of a message of Jupyter's protocol as it came, and its content where that is short.

    >>> read([b"from", b"<IDS|MSG>", b"signature", b'{"msg_type": "comm_close"}', b"{}", b"{}", b'{"comm_id": "7"}'])
    ('comm_close', {'comm_id': '7'})
    """
    at = _delimiter(frames)
    looked = (frames[at + 2], frames[at + 5])  # buffers behind them may be large, and are not copied
    header, content = (json.loads(_bytes(part)) if len(part) <= _LONGEST else {} for part in looked)
    return str(header.get("msg_type")), content


def to_subshell(frames: Sequence[Any], subshell: str | None, sign: Callable[[list[bytes]], bytes]) -> list[bytes]:
    """The same message with the name of a subshell in its header, signed anew: ipykernel takes no other there."""
    at, parts = _delimiter(frames), list(map(_bytes, frames))
    parts[at + 2] = json.dumps(json.loads(parts[at + 2]) | {"subshell_id": subshell}).encode()
    parts[at + 1] = sign(parts[at + 2 : at + 6])
    return parts


def _delimiter(frames: Sequence[Any]) -> int:
    """Where the names of those whom a message goes to end."""
    return next(i for i, frame in enumerate(frames) if len(frame) == len(_END) and _bytes(frame) == _END)


def _bytes(frame: Any) -> bytes:
    return bytes(getattr(frame, "buffer", frame))


def this_kernel() -> Any:
    """ipykernel's object where this process is such a kernel, else None."""
    module = sys.modules.get("IPython")
    return getattr(module.get_ipython() if module is not None else None, "kernel", None)


def answer_beside_cells(kernel: Any) -> bool:
    """Lets `kernel` answer these questions while a cell runs; True where it can. Asked again, it does nothing more."""
    manager: Any = getattr(getattr(kernel, "shell_channel_thread", None), "_manager", None)
    locked = getattr(getattr(kernel, "_main_asyncio_lock", None), "locked", None)
    needed = ("get_shell_channel_to_subshell_socket", "list_subshell", "_create_subshell")
    if locked is None or not all(callable(getattr(manager, name, None)) for name in needed):
        return False
    if not isinstance(getattr(manager.get_shell_channel_to_subshell_socket, "__self__", None), _MainShell):
        manager.get_shell_channel_to_subshell_socket = _MainShell(kernel, manager).find
    return True
