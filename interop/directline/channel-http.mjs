// A channel over plain HTTP, to try agent-http.mjs with, or a gateway between the two: it listens where
// an activity's `serviceUrl` leads, and posts activities.
// Usage: node channel-http.mjs
//
// The first line is `ready http://127.0.0.1:PORT`. Calls that come are lines {"event": "call", method,
// url, headers, body}; they are answered with 200 {"id": "rN"}, GETs with {"id", "name"}, DELETEs with
// 200 and nothing, and with `status` after `answer {status}`.
//
//   post {to, body, headers, verb}     `to` is a URL, or `unix:SOCKET` for /api/messages there
import http from 'node:http';

import { obey, open, read, say, tell, watch } from './lines.mjs';

const { options } = read(process.argv.slice(2));
let status = 200;
let resources = 0;

async function whole(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  const text = Buffer.concat(pieces).toString();
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const server = http.createServer(async (request, response) => {
  const { method, url, headers } = request;
  tell({ event: 'call', method, url, headers, body: await whole(request) });
  if (method === 'DELETE') {
    response.writeHead(status).end();
    return;
  }
  resources += 1;
  const answer = method === 'GET' ? { id: 'm1', name: 'member' } : { id: `r${resources}` };
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
});

function post({ to, body, headers, verb }) {
  const where = to.startsWith('unix:') ? { socketPath: to.slice(5), path: '/api/messages' } : new URL(to);
  const settings = {
    method: verb ?? 'POST',
    headers: { 'content-type': 'application/json', ...headers },
  };
  return new Promise((resolve, reject) => {
    const done = async (response) => {
      resolve({ status: response.statusCode, headers: response.headers, body: await whole(response) });
    };
    const request = where instanceof URL
      ? http.request(where, settings, done)
      : http.request({ ...where, ...settings }, done);
    request.on('error', reject);
    request.end(typeof body === 'string' ? body : JSON.stringify(body));
  });
}

watch(options);
await open(options);
server.listen(0, '127.0.0.1', () => say(`ready http://127.0.0.1:${server.address().port}`));
await obey({
  post,
  answer(command) {
    status = command.status;
    return {};
  },
}, () => { server.close(); });
