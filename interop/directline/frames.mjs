// The 48-byte framing of DirectLine's named pipes, written out by hand, and a plain connector and
// agent on it: what others are tried against without a package of anybody's.
// Usage: node frames.mjs agent|connector NAME [--in FOLDER] [--chunk BYTES]
//
// NAME is a base name; with a `/` in it, it is the path before `.incoming`. Otherwise the files in
// FOLDER have the names that Node gives them: `\\.\pipe\NAME.incoming`. Commands: connect, send, many,
// abort and watch of bfs.mjs, and `frame {type, frame, end, text | hex | json}` for one frame as it is
// said (`frame` is its id), answered with {frame}. Frames that come are told after
// `watch {frames: true}`.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { fileURLToPath } from 'node:url';

import { made, told } from './content.mjs';
import { obey, open, read, say, tell, watch } from './lines.mjs';
import { Routes } from './routes.mjs';

const HEADER = 48;

export function frame(type, id, payload = Buffer.alloc(0), last = true) {
  const head = `${type}.${String(payload.length).padStart(6, '0')}.${id}.${last ? 1 : 0}\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), payload]);
}

/** Calls `take({type, id, last, payload})` for each frame, however the bytes come. */
export function frames(socket, take) {
  let rest = [];
  let length = 0;
  let wanted = HEADER;
  let header = null;
  socket.on('data', (piece) => {
    rest.push(piece);
    length += piece.length;
    if (length < wanted) return;
    let bytes = Buffer.concat(rest);
    for (;;) {
      if (header === null) {
        if (bytes.length < HEADER) break;
        const text = bytes.toString('latin1', 0, HEADER);
        const fields = /^([\x21-\x7e])\.(\d{6})\.(.{36})\.([01])\n$/.exec(text);
        if (!fields) {
          socket.destroy(new Error(`not a header: ${JSON.stringify(text)}`));
          return;
        }
        header = { type: fields[1], id: fields[3], last: fields[4] === '1', length: Number(fields[2]) };
        bytes = bytes.subarray(HEADER);
      }
      if (bytes.length < header.length) break;
      take({ ...header, payload: bytes.subarray(0, header.length) });
      bytes = bytes.subarray(header.length);
      header = null;
    }
    rest = [bytes];
    length = bytes.length;
    wanted = header === null ? HEADER : header.length;
  });
}

/** A session over the two sockets; `answer` is given {verb, path, streams} of the other side. */
export class Session {
  constructor({ reads, writes, answer, chunk = 4096, heard = () => {} }) {
    Object.assign(this, { reads, writes, answer, chunk, heard });
    this.streams = new Map();
    this.partial = new Map();
    this.waiting = new Set();
    this.calls = new Map();
    this.over = new Promise((resolve) => {
      for (const socket of [reads, writes]) {
        socket.on('error', (error) => { this.error ??= error; });
        socket.on('close', resolve);
        // What is only written to must be read all the same, or its end is never seen.
        socket.resume();
      }
    });
    this.over.then(() => this.end());
    frames(reads, (one) => this.take(one));
  }

  end() {
    this.ended = true;
    this.reads.destroy();
    this.writes.destroy();
    for (const { reject } of this.calls.values()) reject(this.error ?? new Error('the session ended'));
    this.calls.clear();
  }

  take(one) {
    this.heard(one);
    if (one.type === 'S') {
      const stream = this.streams.get(one.id) ?? { pieces: [], ended: false };
      stream.pieces.push(Buffer.from(one.payload));
      stream.ended ||= one.last;
      this.streams.set(one.id, stream);
    } else if ((one.type === 'A' || one.type === 'B') && one.payload.length > 0) {
      this.envelope(one);
    }
    for (const parked of [...this.waiting]) this.look(parked);
  }

  // Whoever splits envelopes sends the end flag 0 on all but the last frame.
  envelope(one) {
    const whole = Buffer.concat([this.partial.get(one.id) ?? Buffer.alloc(0), one.payload]);
    if (!one.last) {
      this.partial.set(one.id, whole);
      return;
    }
    this.partial.delete(one.id);
    const said = JSON.parse(whole);
    this.waiting.add({ type: one.type, id: one.id, said, streams: said.streams ?? [] });
  }

  // A stream that is said to be empty may never come.
  look(parked) {
    const done = ({ id, length }) => this.streams.get(id)?.ended || length === 0;
    if (!parked.streams.every(done)) return;
    this.waiting.delete(parked);
    const streams = parked.streams.map(({ id, type, contentType, length }) => {
      const pieces = this.streams.get(id)?.pieces ?? [];
      this.streams.delete(id);
      return { type: type ?? contentType, declared: length, bytes: Buffer.concat(pieces) };
    });
    if (parked.type === 'B') {
      const call = this.calls.get(parked.id);
      this.calls.delete(parked.id);
      call?.resolve({ status: parked.said.statusCode, streams });
      return;
    }
    this.answer({ verb: parked.said.verb, path: parked.said.path, streams }).then((answer) => {
      if (answer) this.send('B', parked.id, { statusCode: answer.status }, answer.streams);
    });
  }

  send(type, id, said, streams) {
    const described = streams.map(({ type: media, bytes }) => (
      { id: randomUUID(), type: media, length: bytes.length }));
    const whole = { ...said, streams: described.length === 0 ? null : described };
    this.writes.write(frame(type, id, Buffer.from(JSON.stringify(whole))));
    streams.forEach(({ bytes }, which) => {
      for (let at = 0; at === 0 || at < bytes.length; at += this.chunk) {
        const last = at + this.chunk >= bytes.length;
        this.writes.write(frame('S', described[which].id, bytes.subarray(at, at + this.chunk), last));
      }
    });
  }

  call({ verb, path, streams }) {
    if (this.ended) return Promise.reject(new Error('the session ended'));
    const id = randomUUID();
    return new Promise((resolve, reject) => {
      this.calls.set(id, { resolve, reject });
      this.send('A', id, { verb, path }, streams);
    });
  }
}

export function paths(name) {
  const start = name.includes('/') ? name : `\\\\.\\pipe\\${name}`;
  return { incoming: `${start}.incoming`, outgoing: `${start}.outgoing` };
}

async function connected(path, until) {
  for (;;) {
    const socket = net.connect(path);
    try {
      await once(socket, 'connect');
      return socket;
    } catch (error) {
      if (Date.now() >= until) throw error;
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
  }
}

/** A connector's session: `.incoming` first, then `.outgoing`, each tried until it is there. */
export async function connect(name, settings, seconds = 10) {
  const until = Date.now() + seconds * 1000;
  const { incoming, outgoing } = paths(name);
  const writes = await connected(incoming, until);
  const reads = await connected(outgoing, until);
  return new Session({ ...settings, reads, writes });
}

/** An agent's pipes: both are there before anyone is waited for. `each` gets every session. */
export async function listen(name, settings, each) {
  const { incoming, outgoing } = paths(name);
  let halves = {};
  const half = (which) => (socket) => {
    if (halves[which]) {
      socket.destroy();
      return;
    }
    halves[which] = socket;
    socket.on('error', () => {});
    socket.once('close', () => { if (halves[which] === socket) halves = {}; });
    if (halves.reads && halves.writes) each(new Session({ ...settings, ...halves }));
  };
  const servers = [net.createServer(half('reads')), net.createServer(half('writes'))];
  await Promise.all([incoming, outgoing].map(async (path, at) => {
    servers[at].listen(path);
    await once(servers[at], 'listening');
  }));
  return servers;
}

async function main() {
  const { words: [role, name], options } = read(process.argv.slice(2));
  if (options.in) process.chdir(options.in);
  let session;
  let watched = {};
  const routes = new Routes({
    call: (request) => session.call(request),
    drop: () => session.end(),
    abort: () => session.end(),
    heard: (event) => { if (watched.on) tell(event); },
  });
  const settings = {
    answer: (request) => routes.answer(request),
    chunk: Number(options.chunk ?? 4096),
    heard: ({ type, id, last, payload }) => {
      if (watched.frames) tell({ event: 'frame', type, id, last, length: payload.length });
    },
  };
  const keep = (made) => {
    session = made;
    made.over.then(() => tell({ event: 'closed', error: made.error?.message }));
  };
  const asked = (command) => ({
    verb: command.verb ?? 'POST',
    path: command.path,
    streams: [...(command.body ? [command.body] : []), ...(command.attachments ?? [])].map(made),
  });
  const actions = {
    async connect(command) {
      keep(await connect(name, settings, command.seconds));
      return { connected: true };
    },
    async send(command) {
      const before = performance.now();
      const { status, streams } = await session.call(asked(command));
      return { status, streams: streams.map(told), ms: Math.round(performance.now() - before) };
    },
    async many(command) {
      const answers = {};
      let left = command.count;
      const one = async () => {
        while (left > 0) {
          left -= 1;
          const key = await session.call(asked(command))
            .then(({ status }) => status, (error) => error.message);
          answers[key] = (answers[key] ?? 0) + 1;
        }
      };
      await Promise.all(Array.from({ length: command.inFlight ?? command.count }, one));
      return { answers };
    },
    frame(command) {
      const id = command.frame ?? randomUUID();
      const payload = command.hex === undefined
        ? Buffer.from(command.text ?? (command.json ? JSON.stringify(command.json) : ''))
        : Buffer.from(command.hex, 'hex');
      session.writes.write(frame(command.type, id, payload, command.end !== false));
      return { frame: id };
    },
    abort() {
      session.end();
      return {};
    },
    watch(command) {
      watched = { on: command.on !== false, frames: command.frames };
      return {};
    },
  };
  watch(options);
  await open(options);
  const servers = role === 'agent' ? await listen(name, settings, keep) : [];
  say(`ready ${role}`);
  await obey(actions, () => {
    session?.end();
    servers.forEach((server) => server.close());
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
