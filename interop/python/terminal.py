"""A session in a terminal of pipeway's agent, by the package `websockets`.

Ends with 1 at the first thing that was not as it should be.
Usage: python terminal.py SOCKET [TOKEN]
"""

import asyncio
import base64
import json
import sys

import websockets

SHELL = (
    "trap 'stty size' WINCH; trap 'echo \"[interrupted]\"' INT; stty size; "
    "echo '[ready]'; while :; do read -r line && eval \"$line\"; done"
)


class Terminal:
    def __init__(self, connection):
        self.connection = connection
        self.screen = b""

    async def send(self, **message):
        await self.connection.send(json.dumps(message))

    async def type(self, text):
        await self.send(type="stdin", data_b64=base64.b64encode(text.encode()).decode())

    async def next(self):
        message = json.loads(await self.connection.recv())
        if message["type"] == "stdout":
            self.screen += base64.b64decode(message["data_b64"])
        return message

    async def sees(self, text):
        while text not in self.screen:
            message = await self.next()
            assert message["type"] == "stdout", message
        self.screen = self.screen.split(text, 1)[1]

    async def exit(self):
        while (message := await self.next())["type"] != "exit":
            assert message["type"] == "stdout", message
        try:
            await self.connection.recv()
        except websockets.ConnectionClosed as closed:
            assert closed.rcvd.code == 1000, closed
        else:
            raise AssertionError("not closed")
        return message["code"]


async def session(socket, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with websockets.unix_connect(
        socket, "ws://localhost/v1/stream", compression=None, additional_headers=headers
    ) as connection:
        terminal = Terminal(connection)
        await terminal.send(type="start", cmd=SHELL, cols=80, rows=24)
        await terminal.sees(b"24 80\r\n")
        await terminal.sees(b"[ready]\r\n")
        await terminal.type("echo answer-$((6*7))\n")
        await terminal.sees(b"echo answer-$((6*7))\r\n")
        await terminal.sees(b"answer-42\r\n")
        await (await connection.ping(b"still there?"))
        await terminal.send(type="resize", cols=120, rows=40)
        await terminal.sees(b"40 120\r\n")
        await terminal.send(type="signal", sig="INT")
        await terminal.sees(b"[interrupted]\r\n")
        await terminal.type("sh -c 'echo \"[asleep-$((1+1))]\"; exec sleep 60'; exit $?\n")
        await terminal.sees(b"[asleep-2]\r\n")
        await terminal.send(type="signal", sig="INT")
        assert await terminal.exit() == 130


asyncio.run(asyncio.wait_for(session(*sys.argv[1:]), 60))
print("done", flush=True)
