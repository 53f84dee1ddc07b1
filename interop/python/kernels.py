"""Starts kernels of a Jupyter server and runs cells in them, through a Unix socket: Jupyter's own
HTTP client and messages, `aiohttp` and `websockets`.

Says each step that came back right, and for each WebSocket one line of JSON with its path and how
many bytes of messages went each way. Ends with 1 at the first step that went wrong.
Usage: JUPYTER_TOKEN=... python kernels.py SOCKET
"""

import asyncio
import collections
import hashlib
import json
import os
import sys
import time
import urllib.parse

import aiohttp
import websockets
from jupyter_client.jsonutil import json_default
from jupyter_client.session import Session
from jupyter_server.services.kernels.connection.base import (
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)
from jupyter_server.utils import async_fetch

SOCKET = sys.argv[1]
HEADERS = {"Authorization": f"Bearer {os.environ['JUPYTER_TOKEN']}"}
V1 = "v1.kernel.websocket.jupyter.org"
LARGE = 4_000_000

# Each piece is awaited by the client before it lets the cell go on: what holds pieces back, hangs.
PIECES = """
for number in range(5):
    print(f"piece {number}\\n", end="", flush=True)
    assert input() == f"seen {number}"
6 * 7
"""


BEGUN = time.monotonic()

# The last messages that came, for whoever wonders why a step did not end.
CAME = collections.deque(maxlen=12)


def ok(step):
    print(f"ok {step} ({time.monotonic() - BEGUN:.1f} s)", flush=True)


class Channels:
    """A kernel's channels over one WebSocket."""

    def __init__(self):
        self.session = Session()
        self.sent = 0
        self.received = 0

    async def request(self, channel, kind, content, parent=None):
        """Sends a message, and says its id."""
        message = self.session.msg(kind, content, parent=parent)
        message["channel"] = channel
        await self.send(message)
        return message["header"]["msg_id"]

    async def next(self):
        """The next message that comes."""
        message = await self.receive()
        kind, content = message["header"]["msg_type"], message["content"]
        CAME.append((message["channel"], kind, str(content)[:60], time.monotonic() - BEGUN))
        return message

    async def ready(self):
        """Asks the kernel who it is until the answer is heard on `iopub`, too. Jupyter does not
        wait for that channel's subscription where it takes the kernel for busy."""
        while True:
            asked = await self.request("shell", "kernel_info_request", {})
            try:
                async with asyncio.timeout(5):
                    while True:
                        message = await self.next()
                        mine = message["parent_header"].get("msg_id") == asked
                        if mine and message["channel"] == "iopub":
                            return
            except TimeoutError:
                pass

    async def run(self, code, answer=None, on_output=None):
        """Runs a cell until the kernel is idle again and has replied. `answer` says what its nth
        `input()` gets, once n + 1 lines have come; `on_output` hears all that it has printed so
        far, after each piece."""
        cell = await self.request("shell", "execute_request", {
            "code": code, "silent": False, "store_history": True, "user_expressions": {},
            "allow_stdin": answer is not None, "stop_on_error": True,
        })
        done = {"output": "", "pieces": 0}
        question = None
        answered = 0
        while not {"idle", "reply"} <= done.keys():
            message = await self.next()
            if message["parent_header"].get("msg_id") != cell:
                continue
            kind, content = message["header"]["msg_type"], message["content"]
            if kind == "stream":
                done["output"] += content["text"]
                done["pieces"] += 1
                if on_output is not None:
                    await on_output(done["output"])
            elif kind == "execute_result":
                done["result"] = content["data"]["text/plain"]
            elif kind == "error":
                done["error"] = content["ename"]
            elif kind == "input_request":
                question = message["header"]
            elif kind == "status" and content["execution_state"] == "idle":
                done["idle"] = True
            elif kind == "execute_reply":
                done["reply"] = content["status"]
            # The question comes on a channel of its own, so perhaps before the piece.
            if question is not None and done["output"].count("\n") > answered:
                reply = {"value": answer(answered)}
                await self.request("stdin", "input_reply", reply, question)
                question = None
                answered += 1
        return done


class TextChannels(Channels):
    """The subprotocol without a name, one JSON text for each message, by `aiohttp`."""

    def __init__(self, socket):
        super().__init__()
        self.socket = socket

    async def send(self, message):
        text = json.dumps(message, default=json_default)
        self.sent += len(text)
        await self.socket.send_str(text)

    async def receive(self):
        text = await self.socket.receive_str()
        self.received += len(text)
        return json.loads(text)


class BinaryChannels(Channels):
    """The subprotocol `v1.kernel.websocket.jupyter.org`, by `websockets`."""

    def __init__(self, socket):
        super().__init__()
        self.socket = socket

    async def send(self, message):
        data = serialize_msg_to_ws_v1(message, message["channel"], self.session.pack)
        self.sent += len(data)
        await self.socket.send(data)

    async def receive(self):
        data = await self.socket.recv()
        assert isinstance(data, bytes), data
        self.received += len(data)
        channel, parts = deserialize_msg_from_ws_v1(data)
        names = ["header", "parent_header", "metadata", "content"]
        return {"channel": channel, **{name: json.loads(part) for name, part in zip(names, parts)}}


async def use(channels, interrupt, name):
    """All that a kernel is asked for over one WebSocket."""
    await channels.ready()
    done = await channels.run(PIECES, answer=lambda number: f"seen {number}")
    assert done["output"] == "".join(f"piece {number}\n" for number in range(5)), done
    assert done["pieces"] >= 5 and (done["result"], done["reply"]) == ("42", "ok"), done
    ok(f"{name}: each piece of output came while the cell ran, then its result")

    done = await channels.run(f"import hashlib\nprint('0123456789abcdef' * {LARGE // 16}, end='')")
    assert done["output"] == "0123456789abcdef" * (LARGE // 16), len(done["output"])
    data = hashlib.sha256(os.urandom(16)).hexdigest() * (LARGE // 64)
    done = await channels.run(f"hashlib.sha256({data!r}.encode()).hexdigest()")
    assert done["result"] == repr(hashlib.sha256(data.encode()).hexdigest()), done
    ok(f"{name}: 4 MB of output, 4 MB of code")

    interrupted = []

    async def when_it_runs(output):
        if output == "it runs\n" and not interrupted:
            interrupted.append(True)
            await interrupt()

    code = "import time\nprint('it runs', flush=True)\ntime.sleep(600)"
    done = await channels.run(code, on_output=when_it_runs)
    assert interrupted and done["error"] == "KeyboardInterrupt" and done["reply"] == "error", done
    done = await channels.run("'alive'")
    assert done["result"] == "'alive'", done
    ok(f"{name}: a running cell is interrupted, the kernel lives on")


async def status():
    """What Jupyter's own client for Unix sockets gets."""
    url = f"http+unix://{urllib.parse.quote(SOCKET, safe='')}/api/status"
    answer = await async_fetch(url, headers=HEADERS)
    assert answer.code == 200
    return json.loads(answer.body)


def tell(path, channels):
    print(json.dumps({"path": path, "sent": channels.sent, "received": channels.received}))


async def main():
    assert (await status())["kernels"] == 0
    ok("Jupyter's own client: /api/status")
    connector = aiohttp.UnixConnector(path=SOCKET)
    async with aiohttp.ClientSession("http://localhost", connector=connector) as http:
        async with http.get("/api/kernels") as answer:
            assert answer.status == 403, answer.status
        ok("aiohttp: without the token it is 403")
        async with http.post("/api/kernels", headers=HEADERS) as answer:
            assert answer.status == 201, await answer.text()
            kernel = f"/api/kernels/{(await answer.json())['id']}"
        ok("aiohttp: a kernel is started")
        channels_path = f"{kernel}/channels"

        async def interrupt():
            async with http.post(f"{kernel}/interrupt", headers=HEADERS) as answer:
                assert answer.status == 204, answer.status

        async with http.ws_connect(channels_path, headers=HEADERS, max_msg_size=0) as socket:
            assert socket.protocol is None
            channels = TextChannels(socket)
            await use(channels, interrupt, "aiohttp, JSON")
        assert socket.close_code == 1000, socket.close_code
        tell(channels_path, channels)

        async with websockets.unix_connect(
            SOCKET, f"ws://localhost{channels_path}", additional_headers=HEADERS,
            subprotocols=[V1], max_size=None,
        ) as socket:
            assert socket.subprotocol == V1
            channels = BinaryChannels(socket)
            await use(channels, interrupt, "websockets, binary")
        assert socket.close_code == 1000, socket.close_code
        tell(channels_path, channels)

        assert (await status())["kernels"] == 1
        async with http.delete(kernel, headers=HEADERS) as answer:
            assert answer.status == 204, answer.status
        async with http.get(kernel, headers=HEADERS) as answer:
            assert answer.status == 404, answer.status
        assert (await status())["kernels"] == 0
        ok("aiohttp: the kernel is deleted")


try:
    asyncio.run(asyncio.wait_for(main(), 120))
except BaseException:
    print(f"after {time.monotonic() - BEGUN:.1f} s; the last messages:", *CAME, sep="\n")
    raise
print("done", flush=True)
