"""Drives services like server.py and node's server.mjs through Unix sockets: the standard
library's HTTP client, `aiohttp` and `websockets`.

Says each step that came back right; ends with 1 at the first that did not.
Usage: python client.py HTTP_SOCKET WEBSOCKET_SOCKET NODE_SOCKET
"""

import asyncio
import http.client
import os
import socket
import sys
import time

import aiohttp
import websockets

HTTP, WEBSOCKET, NODE = sys.argv[1:4]


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


def ok(step):
    print("ok", step, flush=True)


def http_client():
    connection = UnixConnection(HTTP)
    for number in range(5):
        # The service closes after each answer; the client's connection is kept all the same.
        connection.request("GET", f"/{number}")
        held = connection.sock
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.read() == f"hello from python /{number}".encode()
        assert number == 0 or connection.sock is held
    body = os.urandom(300_000)
    connection.request("POST", "/reverse", body=body)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (201, body[::-1])
    ok("http.client and http.server: answers that only a close ends")

    def pieces():
        for _ in range(50):
            yield b"piece" * 1000

    connection = UnixConnection(NODE)
    connection.request("POST", "/echo", body=pieces(), encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})
    assert connection.getresponse().read() == b"piece" * 50_000
    ok("http.client and Node: a chunked upload")

    for path in ["/cut", "/cut-chunked"]:
        connection = UnixConnection(NODE)
        connection.request("GET", path)
        try:
            connection.getresponse().read()
        except (http.client.IncompleteRead, ConnectionError):
            pass
        else:
            raise AssertionError(f"{path} looked complete")
    ok("http.client: an answer cut short is an error")


async def aiohttp_client():
    connector = aiohttp.UnixConnector(path=NODE)
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.get("http://localhost/hello") as answer:
            assert await answer.text() == "hello from node 1.1 localhost"
        async with session.post("http://localhost/echo", data=b"x" * 3_000_000) as answer:
            assert await answer.read() == b"x" * 3_000_000
        async with session.post("http://localhost/digest", data=b"abc", expect100=True) as answer:
            assert (await answer.json())["bytes"] == 3
        answers = await asyncio.gather(
            *(session.get(f"http://localhost/bytes?count={n * 1000}") for n in range(1, 60))
        )
        for number, answer in enumerate(answers, 1):
            assert len(await answer.read()) == number * 1000
        ok("aiohttp: GET, POST, 100-continue, sixty at once")
        async with session.ws_connect("http://localhost/ws", protocols=["chat"]) as ws:
            assert ws.protocol == "chat"
            await ws.send_str("hello")
            assert await ws.receive_str() == "hello"
            await ws.send_bytes(b"\x00\xff" * 100_000)
            assert await ws.receive_bytes() == b"\x00\xff" * 100_000
        ok("aiohttp: a WebSocket")


async def websockets_client():
    async with websockets.unix_connect(
        WEBSOCKET, "ws://localhost/talk", subprotocols=["chat"], max_size=None
    ) as connection:
        assert connection.subprotocol == "chat"
        for message in ["text \U0001f9f5", b"\x00binary\xff", "x" * 1_000_000]:
            await connection.send(message)
            assert await connection.recv() == message
        await (await connection.ping())
        ok("websockets: text, binary, 1 MB, ping")
        await connection.send("close 4002")
        try:
            await connection.recv()
        except websockets.ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4002, "as asked")
        else:
            raise AssertionError("not closed")
    ok("websockets: the server's close code and reason")

    connection = await websockets.unix_connect(
        WEBSOCKET, "ws://localhost/talk", subprotocols=["chat"]
    )
    begun = time.monotonic()
    await connection.send("die")
    try:
        await connection.recv()
    except websockets.ConnectionClosed as closed:
        assert closed.rcvd is None
    else:
        raise AssertionError("not closed")
    assert time.monotonic() - begun < 2
    ok("websockets: an upstream that dies is shown within two seconds")


http_client()
asyncio.run(asyncio.wait_for(aiohttp_client(), 60))
asyncio.run(asyncio.wait_for(websockets_client(), 60))
print("done", flush=True)
