"""A service on two Unix sockets: the standard library's HTTP server, which speaks HTTP/1.0 and
ends its answers by closing, and the package `websockets`.

Prints `ready` once both listen. Usage: python server.py HTTP_SOCKET WEBSOCKET_SOCKET
"""

import asyncio
import http.server
import os
import socketserver
import sys
import threading

import websockets


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers without a length: only the close ends them."""

    def address_string(self):
        return "unix"

    def log_message(self, format, *arguments):
        pass

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(f"hello from python {self.path}".encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.end_headers()
        self.wfile.write(body[::-1])


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


async def talk(connection):
    async for message in connection:
        if message == "die":
            os._exit(0)
        if isinstance(message, str) and message.startswith("close "):
            await connection.close(int(message.split()[1]), "as asked")
            return
        await connection.send(message)


async def main():
    http_socket, websocket_socket = sys.argv[1:3]
    server = Server(http_socket, Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    async with websockets.unix_serve(
        talk, websocket_socket, subprotocols=["chat"], max_size=None
    ):
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
