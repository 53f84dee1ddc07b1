// A service on a Unix socket: Node's own HTTP server, and the package `ws`.
// Prints `ready` once it listens. Usage: node server.mjs SOCKET
import http from 'node:http';
import { createHash } from 'node:crypto';
import { WebSocketServer } from 'ws';

const socket = process.argv[2];
// Answers of /events wait here for their next piece.
const streams = new Map();

const server = http.createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  const url = new URL(request.url, 'http://localhost');
  const route = routes[url.pathname];
  if (!route) {
    response.writeHead(404).end(`no ${url.pathname}`);
    return;
  }
  route(request, response, url);
});

const routes = {
  '/hello'(request, response) {
    response.setHeader('Content-Type', 'text/plain');
    response.end(`hello from node ${request.httpVersion} ${request.headers.host}`);
  },
  // The request comes back while it is still coming.
  '/echo'(request, response) {
    response.writeHead(200, { 'Content-Type': 'application/octet-stream' });
    request.pipe(response);
  },
  '/digest'(request, response) {
    const hash = createHash('sha256');
    let bytes = 0;
    request.on('data', (piece) => {
      hash.update(piece);
      bytes += piece.length;
    });
    request.on('end', () => {
      response.setHeader('Content-Type', 'application/json');
      response.end(
        JSON.stringify({
          bytes,
          sha256: hash.digest('hex'),
          method: request.method,
          headers: request.headers,
          trailers: request.trailers,
        }),
      );
    });
  },
  // Streams pieces; each is written only when /events/next asks for it.
  '/events'(request, response, url) {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.flushHeaders();
    streams.set(url.searchParams.get('id'), response);
  },
  '/events/next'(request, response, url) {
    const stream = streams.get(url.searchParams.get('id'));
    const piece = url.searchParams.get('piece');
    if (piece === null) {
      stream.end();
    } else {
      stream.write(`data: ${piece}\n\n`);
    }
    response.end('written');
  },
  '/bytes'(request, response, url) {
    const count = Number(url.searchParams.get('count'));
    response.writeHead(200, { 'Content-Length': count });
    response.end(Buffer.alloc(count, 'x'));
  },
  '/hints'(request, response) {
    response.writeEarlyHints({ link: '</style.css>; rel=preload' }, () => response.end('hinted'));
  },
  '/trailers'(request, response) {
    response.writeHead(200, { Trailer: 'X-Checksum' });
    response.write('body');
    response.addTrailers({ 'X-Checksum': 'abc' });
    response.end();
  },
  '/early'(request, response) {
    // Answered before the request's end, which is not read.
    response.writeHead(413, { Connection: 'close' });
    response.end('too big');
  },
  '/cut'(request, response) {
    response.writeHead(200, { 'Content-Length': 1000 });
    response.write('only this', () => request.socket.destroy());
  },
  '/cut-chunked'(request, response) {
    response.writeHead(200);
    response.write('only this', () => request.socket.destroy());
  },
  '/empty'(request, response) {
    response.writeHead(204).end();
  },
};

server.on('checkContinue', (request, response) => {
  if (request.url === '/refuse') {
    response.writeHead(417).end('not wanted');
    return;
  }
  response.writeContinue();
  server.emit('request', request, response);
});

const sockets = new WebSocketServer({
  server,
  path: '/ws',
  perMessageDeflate: true,
  maxPayload: 64 * 1024 * 1024,
  handleProtocols: (protocols) => (protocols.has('chat') ? 'chat' : false),
});
sockets.on('connection', (ws, request) => {
  ws.on('message', (data, binary) => {
    const text = binary ? '' : data.toString();
    const close = /^close (\d+) (.*)$/.exec(text);
    if (close) {
      ws.close(Number(close[1]), close[2]);
    } else if (text === 'terminate') {
      ws.terminate();
    } else if (text === 'exit') {
      process.exit(0);
    } else if (text === 'headers') {
      ws.send(JSON.stringify(request.headers));
    } else {
      ws.send(data, { binary });
    }
  });
  ws.on('error', () => {});
});

server.listen(socket, () => console.log('ready'));
