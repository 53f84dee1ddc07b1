// A load on DirectLine's pipes from the npm package `botframework-streaming`, at either end.
// Usage: node load.mjs agent NAME [--in FOLDER] [--prefix PREFIX] [--mended yes]
//        node load.mjs connector NAME calls|json COUNT IN_FLIGHT [as above]
//        node load.mjs connector NAME upload|download BYTES [as above]
//
//   calls      POST /api/messages with an activity of 200 bytes, answered with 200 and nothing
//   json       POST /json with the same activity, answered with 200 {"id":"00000001"}
//   upload     POST /sink with one body, answered with 200 and nothing when it is there
//   download   POST /make/BYTES, which is not measured, then GET /made, answered with 200 and that body
//
// The agent says `ready agent` and answers until its standard input ends. The connector waits for the
// pipes, warms up with a twentieth of the calls or with one body, and says lines of a word and a number: `exchanges`,
// `seconds`, `per_second`, `p50_us`, `p99_us`, or `bytes`, `seconds`, `mib_per_second`. Whatever else
// speaks the protocol can stand at the other end.
//
// More than about a hundred calls in flight, and bodies of megabytes, need `--mended yes` (mended.cjs).
import { once } from 'node:events';
import { createRequire } from 'node:module';

import { flush, obey, open, read, say, watch } from './lines.mjs';

const require = createRequire(import.meta.url);
const { mend } = require('./mended.cjs');
const bfs = require('botframework-streaming');
const { NamedPipeTransport } = require('botframework-streaming/lib/namedPipe/namedPipeTransport.js');

const { words: [role, name, what, ...numbers], options } = read(process.argv.slice(2));
if (options.in) process.chdir(options.in);
if (options.prefix) NamedPipeTransport.PipePath = options.prefix;
if (options.mended === 'yes') mend();
watch(options);
await open(options);

function add(message, type, bytes) {
  const stream = new bfs.SubscribableStream();
  if (bytes.length > 0) stream.write(bytes);
  message.addStream(new bfs.HttpContent({ type, contentLength: bytes.length }, stream));
  return message;
}

async function sizes(streams) {
  let sum = 0;
  for (const stream of streams) sum += (await stream.readAll()).size;
  return sum;
}

const JSON_BODY = Buffer.from('{"id":"00000001"}');

class Handler extends bfs.RequestHandler {
  async processRequest({ path, streams }) {
    await sizes(streams);
    const response = bfs.StreamingResponse.create(200);
    if (path === '/json') return add(response, 'application/json', JSON_BODY);
    if (path.startsWith('/make/')) this.made = Buffer.alloc(Number(path.slice(6)), 'x');
    if (path === '/made') return add(response, 'application/octet-stream', this.made);
    return response;
  }
}

async function connect() {
  for (;;) {
    const client = new bfs.NamedPipeClient(name, new Handler(), false);
    await client.connect();
    // The client tells nobody when its sockets are connected, and loses what is sent before.
    const sockets = [client._sender._sender.socket, client._receiver._receiver.socket];
    try {
      await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    } catch {
      client.disconnect();
      await new Promise((resolve) => { setTimeout(resolve, 50); });
      continue;
    }
    for (const socket of sockets) {
      socket.once('close', () => {
        process.stderr.write('the session ended\n');
        process.exit(1);
      });
    }
    return client;
  }
}

function activity() {
  const whole = {
    type: 'message',
    id: 'in1',
    channelId: 'directline',
    serviceUrl: 'urn:botframework:namedpipe:bfv4.pipes',
    conversation: { id: 'conv1' },
    from: { id: 'u1' },
    recipient: { id: 'bot' },
    text: '',
  };
  whole.text = 'x'.repeat(200 - JSON.stringify(whole).length);
  return Buffer.from(JSON.stringify(whole));
}

async function call(client, verb, path, body) {
  const request = bfs.StreamingRequest.create(verb, path);
  if (body) add(request, 'application/json', body);
  const response = await client.send(request);
  if (response.statusCode !== 200) throw new Error(`answered ${response.statusCode}`);
  return sizes(response.streams);
}

async function exchanges(client, count, inFlight) {
  const path = what === 'json' ? '/json' : '/api/messages';
  const body = activity();
  const run = async (wanted) => {
    const times = [];
    let left = wanted;
    const before = performance.now();
    await Promise.all(Array.from({ length: inFlight }, async () => {
      while (left > 0) {
        left -= 1;
        const sent = performance.now();
        await call(client, 'POST', path, body);
        times.push((performance.now() - sent) * 1000);
      }
    }));
    return { times: times.sort((a, b) => a - b), seconds: (performance.now() - before) / 1000 };
  };
  await run(Math.ceil(count / 20));
  const { times, seconds } = await run(count);
  const at = (part) => Math.round(times[Math.min(times.length - 1, Math.floor(times.length * part))]);
  say(`exchanges ${times.length}\nseconds ${seconds.toFixed(3)}`);
  say(`per_second ${Math.round(times.length / seconds)}\np50_us ${at(0.5)}\np99_us ${at(0.99)}`);
}

async function body(client, bytes) {
  const upload = what === 'upload' ? Buffer.alloc(bytes, 'x') : null;
  if (!upload) await call(client, 'POST', `/make/${bytes}`);
  const pass = () => (upload ? call(client, 'POST', '/sink', upload) : call(client, 'GET', '/made'));
  await pass();
  const before = performance.now();
  const came = await pass();
  const seconds = (performance.now() - before) / 1000;
  if (!upload && came !== bytes) throw new Error(`${came} bytes came`);
  say(`bytes ${bytes}\nseconds ${seconds.toFixed(3)}`);
  say(`mib_per_second ${(bytes / 1048576 / seconds).toFixed(1)}`);
}

if (role === 'agent') {
  const server = new bfs.NamedPipeServer(name, new Handler());
  server.start(() => say('ready agent')).catch((error) => {
    process.stderr.write(`${error.stack}\n`);
    process.exit(1);
  });
  await obey({}, () => { server.disconnect(); });
} else {
  const client = await connect();
  const [first, second] = numbers.map(Number);
  if (what === 'calls' || what === 'json') await exchanges(client, first, second);
  else await body(client, first);
  // So that all is out before the end, over a connection too.
  await flush();
  process.exit(0);
}
