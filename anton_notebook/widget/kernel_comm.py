"""Comms whose messages are handled by the shell that the page names. See `commands` for the requests on them.

ipykernel's own comm sends every message of a page to the subshell that published last. A stream published by a thread, or a
comm opened by a cell, would so move every click behind the running cell. This comm keeps no such state: the subshell in the
header of a page's message counts. It uses public attributes of the kernel only.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import comm
from comm.base_comm import BaseComm

_lock = threading.RLock()


class KernelComm(BaseComm):
    """A comm over the IOPub channel of the running kernel."""

    def publish_msg(
        self,
        msg_type: str,
        data: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        buffers: Sequence[Any] | None = None,
        **keys: Any,
    ) -> None:
        kernel = running_kernel()
        if kernel is None or kernel.session is None:
            return
        try:
            parent = kernel.get_parent()
        except LookupError:  # ipykernel 7.0 raises it in threads that handle no request
            parent = {}
        content = {"data": data or {}, "comm_id": self.comm_id, **keys}
        kernel.session.send(
            kernel.iopub_socket,
            msg_type,
            content,
            metadata=metadata or {},
            parent=parent,
            ident=self.topic,
            buffers=list(buffers or []),
        )


def running_kernel() -> Any:
    """Return the ipykernel object of this process, or None."""
    module = sys.modules.get("IPython")
    return getattr(module.get_ipython() if module is not None else None, "kernel", None)


def supports_subshells() -> bool:
    """Return whether the kernel can handle a page's message while a cell runs."""
    info = getattr(running_kernel(), "kernel_info", None) or {}
    return "kernel subshells" in info.get("supported_features", ())


@contextmanager
def kernel_comms() -> Iterator[None]:
    """Make widgets opened in this block use `KernelComm`, if ipykernel would create their comm."""
    with _lock:
        create = comm.create_comm
        if running_kernel() is None or not create.__module__.startswith("ipykernel"):
            yield
            return
        comm.create_comm = KernelComm
        try:
            yield
        finally:
            comm.create_comm = create
