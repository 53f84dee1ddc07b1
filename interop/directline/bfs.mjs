// The npm package `botframework-streaming` at either end of a pair of pipes.
// Usage: node bfs.mjs agent|connector NAME [--in FOLDER] [--prefix PREFIX] [--mended yes]
//
// Where there are Unix sockets the package takes `\\.\pipe\NAME.incoming` as the name of a file in the
// current folder; `--in` changes to that folder first. With `--prefix /some/folder/` the sockets are
// /some/folder/NAME.incoming and .outgoing (the package's constant is overwritten, nothing else).
//
// `--mended yes` does away with two flaws of the package, which mended.cjs tells. Say so where results
// with it are shown.
//
// The agent says `ready agent` when it listens, the connector `ready connector` at once; commands and
// answers are those of lines.mjs, requests of the other side are answered as routes.mjs says.
//
//   connect {seconds}           (connector) a new client, tried until both pipes are there
//   send {verb, path, body, attachments}        answered with {status, streams, ms}
//   many {count, inFlight, ... as send}         answered with {answers: {status: count}, distinct}
//   raw {text | hex | header: {type, length, id, end}}   bytes straight into the pipe that is written
//   disconnect                  as the package does it, which writes `end` first
//   abort {pipe: "read"|"write"}  destroys the socket, or both
//   stop, start                 (agent) the listeners too
//   state                       {connected, outstanding}
//   watch {on: true}            events of requests that come: {event: "request", ...}
//
// The package lets a call that lost its session wait for ever; the answer {error: "the session
// ended"} is this script's.
import { once } from 'node:events';
import { createRequire } from 'node:module';

import { made, told } from './content.mjs';
import { obey, open, read, say, tell, watch } from './lines.mjs';
import { Routes } from './routes.mjs';

const require = createRequire(import.meta.url);
const bfs = require('botframework-streaming');
const { NamedPipeTransport } = require('botframework-streaming/lib/namedPipe/namedPipeTransport.js');
const { mend } = require('./mended.cjs');
const { SubscribableStream, HttpContent, RequestHandler, StreamingRequest, StreamingResponse } = bfs;

const { words: [role, name], options } = read(process.argv.slice(2));
if (options.in) process.chdir(options.in);
if (options.prefix) NamedPipeTransport.PipePath = options.prefix;

if (options.mended === 'yes') mend();

async function content(stream) {
  const { bufferArray } = await stream.readAll();
  return { type: stream.contentType, declared: stream.length, bytes: Buffer.concat(bufferArray) };
}

const contents = (streams) => Promise.all(streams.map(content));

function add(message, streams) {
  for (const { type, bytes } of streams) {
    const stream = new SubscribableStream();
    if (bytes.length > 0) stream.write(bytes);
    message.addStream(new HttpContent({ type, contentLength: bytes.length }, stream));
  }
  return message;
}

let end;
let session = fresh();
let outstanding = 0;
let watched = false;

function fresh() {
  const made = { sockets: [] };
  made.over = new Promise((resolve) => { made.end = resolve; });
  return made;
}

async function call({ verb, path, streams }) {
  const request = StreamingRequest.create(verb, path);
  add(request, streams);
  outstanding += 1;
  try {
    const lost = session.over.then(() => { throw new Error('the session ended'); });
    const response = await Promise.race([end.send(request), lost]);
    return { status: response.statusCode, streams: await Promise.race([contents(response.streams), lost]) };
  } finally {
    outstanding -= 1;
  }
}

// The package has no way of its own to these.
const sockets = () => ({ write: end._sender._sender?.socket, read: end._receiver._receiver?.socket });

function disconnect() {
  end._sender.disconnect();
  end._receiver.disconnect();
}

function abort(which) {
  for (const [pipe, socket] of Object.entries(sockets())) {
    if (which === undefined || which === pipe) socket?.destroy();
  }
}

const routes = new Routes({
  call,
  drop: disconnect,
  abort,
  heard: (event) => { if (watched) tell(event); },
});

class Handler extends RequestHandler {
  async processRequest(received) {
    const streams = await contents(received.streams);
    const answer = await routes.answer({ verb: received.verb, path: received.path, streams });
    return answer === null ? undefined : add(StreamingResponse.create(answer.status), answer.streams);
  }
}

// The package tells nobody that a socket is connected or closed.
function follow(half, pipe) {
  const connect = half.connect.bind(half);
  half.connect = (transport) => {
    const { socket } = transport;
    if (role === 'agent' && pipe === 'read') session = fresh();
    const mine = session;
    mine.sockets.push(socket);
    socket.once('close', () => {
      mine.end();
      if (mine.told) tell({ event: 'closed', pipe });
    });
    mine.told ||= role === 'agent';
    return connect(transport);
  };
}

async function listen() {
  end = new bfs.NamedPipeServer(name, new Handler());
  follow(end._receiver, 'read');
  follow(end._sender, 'write');
  await new Promise((resolve, reject) => { end.start(resolve).catch(reject); });
}

// A client that was connected once is of no use again: its own reconnecting loses the new receiver.
async function attempt() {
  end = new bfs.NamedPipeClient(name, new Handler(), false);
  session = fresh();
  follow(end._sender, 'write');
  follow(end._receiver, 'read');
  await end.connect();
  await Promise.all(session.sockets.map((socket) => once(socket, 'connect')));
  session.told = true;
}

function asked(command) {
  const bodies = [...(command.body ? [command.body] : []), ...(command.attachments ?? [])];
  return { verb: command.verb ?? 'POST', path: command.path, streams: bodies.map(made) };
}

const actions = {
  async connect(command) {
    const until = Date.now() + (command.seconds ?? 10) * 1000;
    for (let attempts = 1; ; attempts += 1) {
      try {
        await attempt();
        return { connected: true, attempts };
      } catch (error) {
        end.disconnect();
        if (Date.now() >= until) throw error;
        await new Promise((resolve) => { setTimeout(resolve, 50); });
      }
    }
  },
  async send(command) {
    const before = performance.now();
    const { status, streams } = await call(asked(command));
    return { status, streams: streams.map(told), ms: Math.round(performance.now() - before) };
  },
  async many(command) {
    const answers = {};
    const distinct = new Set();
    let left = command.count;
    const one = async () => {
      while (left > 0) {
        left -= 1;
        const key = await call(asked(command)).then(
          ({ status, streams }) => {
            distinct.add(JSON.stringify(streams.map((each) => told(each).sha256)));
            return status;
          },
          (error) => error.message,
        );
        answers[key] = (answers[key] ?? 0) + 1;
      }
    };
    await Promise.all(Array.from({ length: command.inFlight ?? command.count }, one));
    return { answers, distinct: distinct.size };
  },
  raw(command) {
    let bytes = command.hex === undefined
      ? Buffer.from(command.text ?? '') : Buffer.from(command.hex, 'hex');
    if (command.header) {
      const { type, length, id, end: last } = command.header;
      const head = `${type}.${String(length).padStart(6, '0')}.${id}.${last ? 1 : 0}\n`;
      bytes = Buffer.concat([Buffer.from(head), bytes]);
    }
    return new Promise((resolve) => {
      sockets().write.write(bytes, () => resolve({ written: bytes.length }));
    });
  },
  disconnect() {
    disconnect();
    return {};
  },
  abort(command) {
    abort(command.pipe);
    return {};
  },
  stop() {
    end.disconnect();
    return {};
  },
  async start() {
    await listen();
    return {};
  },
  state() {
    const { write, read: reads } = sockets();
    return { connected: Boolean(write && reads && !write.destroyed && !reads.destroyed), outstanding };
  },
  watch(command) {
    watched = command.on !== false;
    return {};
  },
};

watch(options);
await open(options);
if (role === 'agent') await listen();
say(`ready ${role}`);
await obey(actions, () => {
  // So that the files of the sockets are gone.
  end?.disconnect();
});
