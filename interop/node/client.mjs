// Drives a service like server.mjs through a Unix socket: Node's own HTTP client, and the package
// `ws`. Says each step that came back right; ends with 1 at the first that did not.
// Usage: node client.mjs SOCKET
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import http from 'node:http';
import { once } from 'node:events';
import WebSocket from 'ws';

const socketPath = process.argv[2];
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function ask(path, options = {}) {
  return http.request({ socketPath, path, agent, ...options });
}

async function answerOf(request) {
  const [response] = await once(request, 'response');
  const pieces = [];
  for await (const piece of response) pieces.push(piece);
  return { response, body: Buffer.concat(pieces) };
}

async function whole(path, options = {}, body = undefined) {
  const request = ask(path, options);
  request.end(body);
  return answerOf(request);
}

async function step(name, action) {
  await action();
  console.log(`ok ${name}`);
}

await step('GET on a kept connection', async () => {
  const ports = new Set();
  for (let round = 0; round < 5; round += 1) {
    const request = ask('/hello');
    request.end();
    request.on('socket', (socket) => ports.add(socket));
    const { response, body } = await answerOf(request);
    assert.equal(response.statusCode, 200);
    assert.equal(body.toString(), 'hello from node 1.1 localhost');
  }
  assert.equal(ports.size, 1, 'one connection was kept');
});

await step('HEAD and 204', async () => {
  const head = await whole('/bytes?count=1234', { method: 'HEAD' });
  assert.equal(head.response.headers['content-length'], '1234');
  assert.equal(head.body.length, 0);
  const empty = await whole('/empty');
  assert.equal(empty.response.statusCode, 204);
});

await step('POST of 5 MB and its echo, both chunked', async () => {
  const sent = Buffer.alloc(5_000_000);
  for (let at = 0; at < sent.length; at += 1) sent[at] = (at * 31) % 253;
  const request = ask('/echo', { method: 'POST' });
  const answer = answerOf(request);
  for (let at = 0; at < sent.length; at += 70_001) {
    if (!request.write(sent.subarray(at, at + 70_001))) await once(request, 'drain');
  }
  request.end();
  const { response, body } = await answer;
  assert.equal(response.headers['transfer-encoding'], 'chunked');
  assert.ok(body.equals(sent));
});

await step('PUT of a known length', async () => {
  const sent = Buffer.alloc(2_000_000, 'put');
  const { body } = await whole(
    '/digest',
    { method: 'PUT', headers: { 'Content-Length': sent.length } },
    sent,
  );
  const told = JSON.parse(body);
  assert.equal(told.bytes, sent.length);
  assert.equal(told.method, 'PUT');
  assert.equal(told.headers['content-length'], String(sent.length));
  assert.equal(told.sha256, createHash('sha256').update(sent).digest('hex'));
  assert.match(told.headers.traceparent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/);
});

await step('trailers both ways', async () => {
  const { response, body } = await whole('/trailers');
  assert.equal(body.toString(), 'body');
  assert.equal(response.trailers['x-checksum'], 'abc');
  const request = ask('/digest', { method: 'POST', headers: { Trailer: 'X-Sum' } });
  request.write('abc');
  request.addTrailers({ 'X-Sum': '3' });
  request.end();
  const told = JSON.parse((await answerOf(request)).body);
  assert.equal(told.trailers['x-sum'], '3');
});

await step('each event as it is written', async () => {
  const request = ask('/events?id=node', { agent: false });
  request.end();
  const [response] = await once(request, 'response');
  for (const piece of ['one', 'two', 'three']) {
    const next = once(response, 'data');
    await whole(`/events/next?id=node&piece=${piece}`);
    assert.equal((await next)[0].toString(), `data: ${piece}\n\n`);
  }
  const end = once(response, 'end');
  response.resume();
  await whole('/events/next?id=node');
  await end;
});

await step('100-continue and its refusal', async () => {
  const headers = { Expect: '100-continue', 'Content-Length': 4 };
  const request = ask('/digest', { method: 'POST', headers, agent: false });
  request.flushHeaders();
  const answer = answerOf(request);
  await once(request, 'continue');
  request.end('body');
  assert.equal(JSON.parse((await answer).body).bytes, 4);

  const refused = ask('/refuse', { method: 'POST', headers, agent: false });
  refused.on('continue', () => assert.fail('continue for a refused request'));
  refused.on('error', () => {});
  refused.flushHeaders();
  const { response } = await answerOf(refused);
  assert.equal(response.statusCode, 417);
  refused.destroy();
});

await step('103 early hints', async () => {
  const request = ask('/hints');
  const hints = once(request, 'information');
  const answer = answerOf(request);
  request.end();
  const [information] = await hints;
  assert.equal(information.statusCode, 103);
  assert.equal(information.headers.link, '</style.css>; rel=preload');
  assert.equal((await answer).body.toString(), 'hinted');
});

await step('an answer before the end of its request', async () => {
  const request = ask('/early', {
    method: 'POST',
    headers: { 'Content-Length': 100_000_000 },
    agent: false,
  });
  request.on('error', () => {});
  request.write(Buffer.alloc(100_000));
  const [response] = await once(request, 'response');
  assert.equal(response.statusCode, 413);
  request.destroy();
});

await step('an answer cut short is an error', async () => {
  for (const path of ['/cut', '/cut-chunked']) {
    const request = ask(path, { agent: false });
    request.end();
    await assert.rejects(answerOf(request), { code: 'ECONNRESET' });
  }
});

async function connected(protocols = [], options = {}) {
  const ws = new WebSocket(`ws+unix:${socketPath}:/ws`, protocols, options);
  await once(ws, 'open');
  return ws;
}

await step('WebSocket: text, binary, 1 MB, ping, subprotocol, compression', async () => {
  const ws = await connected(['other', 'chat']);
  assert.equal(ws.protocol, 'chat');
  assert.match(ws.extensions, /permessage-deflate/);
  ws.send('text \u{1f9f5}');
  let [data, binary] = await once(ws, 'message');
  assert.deepEqual([data.toString(), binary], ['text \u{1f9f5}', false]);
  const million = Buffer.alloc(1_000_000);
  for (let at = 0; at < million.length; at += 1) million[at] = (at * 7919) % 256;
  ws.send(million);
  [data, binary] = await once(ws, 'message');
  assert.ok(binary && data.equals(million));
  ws.ping('are you there');
  assert.equal((await once(ws, 'pong'))[0].toString(), 'are you there');
  ws.close(1000, 'done');
  const [code, reason] = await once(ws, 'close');
  assert.deepEqual([code, reason.toString()], [1000, 'done']);
});

await step('WebSocket: the close code and reason of the server', async () => {
  const ws = await connected([], { perMessageDeflate: false });
  ws.send('close 4001 so it goes');
  const [code, reason] = await once(ws, 'close');
  assert.deepEqual([code, reason.toString()], [4001, 'so it goes']);
});

await step('WebSocket: fifty at once', async () => {
  const all = await Promise.all(Array.from({ length: 50 }, () => connected()));
  await Promise.all(
    all.map(async (ws, number) => {
      ws.send(`number ${number}`);
      const [data] = await once(ws, 'message');
      assert.equal(data.toString(), `number ${number}`);
      ws.close();
      await once(ws, 'close');
    }),
  );
});

await step('WebSocket: an upstream that dies is shown within two seconds', async () => {
  for (const word of ['terminate', 'exit']) {
    const ws = await connected();
    const begun = performance.now();
    ws.send(word);
    const [code] = await once(ws, 'close');
    assert.equal(code, 1006);
    assert.ok(performance.now() - begun < 2000);
  }
});

await step('an upstream that is gone is a 502 or 503 with a reason', async () => {
  const { response, body } = await whole('/hello', { agent: false });
  assert.ok([502, 503].includes(response.statusCode), String(response.statusCode));
  assert.match(JSON.parse(body).error.type, /^upstream_/);
});

agent.destroy();
console.log('done');
