// The service behind the bridge: plain Node HTTP and the ws package, on a loopback port of Linux.
// Prints its port, then serves until it is killed.

import { createHash } from "node:crypto";
import http from "node:http";
import { WebSocketServer } from "ws";

/** Answers that wait for the client to say that it has seen the part before. */
const waiting = new Map();

const server = http.createServer((request, response) => {
  const url = new URL(request.url, "http://service");
  switch (`${request.method} ${url.pathname}`) {
    case "GET /hello":
      response.setHeader("x-service", "linux");
      response.end("hello from the service\n");
      break;
    case "POST /echo":
      // No length: the answer is chunked, and begins while the request still runs.
      response.writeHead(200, { "content-type": "application/octet-stream" });
      request.pipe(response);
      break;
    case "POST /digest": {
      const hash = createHash("sha256");
      let bytes = 0;
      request.on("data", (part) => {
        hash.update(part);
        bytes += part.length;
      });
      request.on("end", () => response.end(JSON.stringify({ bytes, sha256: hash.digest("hex") })));
      break;
    }
    case "GET /events":
      // Each event is sent only when the one before was acknowledged: a bridge that holds parts
      // back never gets to the end.
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 0\n\n");
      waiting.set(url.searchParams.get("id"), response);
      break;
    case "POST /seen": {
      const stream = waiting.get(url.searchParams.get("id"));
      const next = Number(url.searchParams.get("number")) + 1;
      if (next < 5) stream.write(`data: ${next}\n\n`);
      else stream.end();
      response.writeHead(204).end();
      break;
    }
    default:
      response.writeHead(404).end();
  }
});

const sockets = new WebSocketServer({ server, maxPayload: 16 << 20 });
sockets.on("connection", (socket) => {
  socket.on("message", (message, isBinary) => {
    const text = isBinary ? "" : message.toString();
    if (text.startsWith("close ")) socket.close(Number(text.slice(6)), "as you wish");
    else socket.send(message, { binary: isBinary });
  });
  socket.on("close", (code, reason) => console.error(`socket closed: ${code} ${reason}`));
});

server.listen(0, "127.0.0.1", () => console.log(server.address().port));
