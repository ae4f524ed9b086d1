"""A server for benchmarks, in a process of its own: it answers every request with the same stream after a fixed time.

`python fast_server.py MILLISECONDS WORDS` prints its port.
"""

from __future__ import annotations

import asyncio
import json
import sys


def stream(words: int) -> bytes:
    def event(kind: str, **data: object) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()

    usage = {"input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    message = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }
    parts = [event("message_start", message={**message, "usage": usage})]
    parts.append(event("content_block_start", index=0, content_block={"type": "text", "text": ""}))
    for i in range(words):
        parts.append(event("content_block_delta", index=0, delta={"type": "text_delta", "text": f"word{i} "}))
    parts.append(event("content_block_stop", index=0))
    parts.append(
        event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": words})
    )
    return b"".join([*parts, event("message_stop")])


async def serve(delay: float, words: int) -> None:
    body = stream(words)
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                )
                await reader.readexactly(length)
                await asyncio.sleep(delay)
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]) / 1000, int(sys.argv[2])))
