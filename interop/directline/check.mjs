// Tries the scripts here against each other: that they do what they say, before anything else is tried
// against them. It needs no program of pipeway's. Usage: node check.mjs [WORD in a check's name]
//
// It prints a line for each check and ends with 1 if one failed.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const LIMIT_MS = 60_000;
const MENDED = ['--mended', 'yes'];

/** A script as a child process: `ready` is its first line, `events` are lines without an id. */
class Peer {
  static async start(script, ...args) {
    const peer = new Peer();
    peer.child = spawn(process.execPath, [path.join(HERE, script), ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    peer.name = [script, ...args].join(' ');
    peer.answers = new Map();
    peer.events = [];
    peer.waiting = [];
    peer.ended = once(peer.child, 'exit');
    const lines = readline.createInterface({ input: peer.child.stdout });
    const first = once(lines, 'line');
    [peer.ready] = await within(Promise.race([first, peer.ended.then(() => ['ended'])]), peer.name);
    assert.match(peer.ready, /^ready /, peer.name);
    lines.on('line', (line) => peer.take(JSON.parse(line)));
    return peer;
  }

  take(said) {
    if (said.id === undefined) {
      this.events.push(said);
      this.waiting.splice(0).forEach((resolve) => resolve());
    } else {
      this.answers.get(said.id)(said);
      this.answers.delete(said.id);
    }
  }

  ask(what, more = {}) {
    const id = this.answers.size + Math.random();
    this.child.stdin.write(`${JSON.stringify({ id, do: what, ...more })}\n`);
    return within(new Promise((resolve) => { this.answers.set(id, resolve); }), `${this.name}: ${what}`);
  }

  /** The next event of which `wanted` is true. */
  async event(wanted) {
    for (;;) {
      const at = this.events.findIndex(wanted);
      if (at >= 0) return this.events.splice(at, 1)[0];
      await within(new Promise((resolve) => { this.waiting.push(resolve); }), `${this.name}: an event`);
    }
  }

  async close() {
    this.child.stdin.end();
    const [code] = await within(this.ended, `the end of ${this.name}`);
    return code;
  }
}

function within(promise, what) {
  let timer;
  const late = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`too long: ${what}`)), LIMIT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function pair(agentScript, connectorScript, folder, ...more) {
  const agent = await Peer.start(agentScript, 'agent', 'check', '--in', folder, ...more);
  const connector = await Peer.start(connectorScript, 'connector', 'check', '--in', folder, ...more);
  assert.equal((await connector.ask('connect')).connected, true);
  return { agent, connector };
}

function activity(text, more = {}) {
  return {
    json: {
      type: 'message', id: 'in1', channelId: 'directline',
      serviceUrl: 'urn:botframework:namedpipe:check', conversation: { id: 'conv1' },
      from: { id: 'u1' }, recipient: { id: 'bot' }, text, ...more,
    },
  };
}

const checks = {};
for (const [one, other] of [['frames.mjs', 'frames.mjs'], ['bfs.mjs', 'frames.mjs'],
  ['frames.mjs', 'bfs.mjs'], ['bfs.mjs', 'bfs.mjs']]) {
  const between = `agent ${one}, connector ${other}`;
  const start = (folder) => pair(one, other, folder, ...MENDED);

  checks[`${between}: bodies`] = async (folder) => {
    const { agent, connector } = await start(folder);
    for (const length of [0, 1, 4096, 4097, 5_000_000]) {
      const there = await connector.ask('send', { path: '/echo', body: { length } });
      assert.equal(there.status, 200);
      assert.equal(there.streams[0].length, length);
      const back = await connector.ask('send', { path: `/bytes/${length}` });
      assert.equal(back.streams[0].sha256, there.streams[0].sha256);
      const said = await connector.ask('send', { path: '/describe', body: { length } });
      assert.equal(said.streams[0].json.streams[0].sha256, there.streams[0].sha256);
    }
    const none = await connector.ask('send', { path: '/status/204' });
    assert.deepEqual([none.status, none.streams], [204, []]);
    assert.equal((await connector.ask('send', { path: '/nothing' })).status, 404);
    assert.deepEqual([await connector.close(), await agent.close()], [0, 0]);
    assert.deepEqual(fs.readdirSync(folder), []);
  };

  checks[`${between}: attachments`] = async (folder) => {
    const { agent, connector } = await start(folder);
    const { streams } = await connector.ask('send', {
      path: '/echo',
      body: { json: { a: 1 } },
      attachments: [{ length: 10_000 }, { text: 'x', type: 'text/x' }, { length: 0 }],
    });
    assert.deepEqual(streams.map(({ length }) => length), [7, 10_000, 1, 0]);
    assert.deepEqual(streams.slice(0, 3).map(({ type }) => type),
      ['application/json', 'application/octet-stream', 'text/x']);
    // The package cannot take the descriptions of more than about 30: they are above 4096 bytes.
    const many = await connector.ask('send', { path: '/streams/25/5000' });
    assert.equal(many.streams.filter(({ length }) => length === 5000).length, 25);
    await connector.close();
    await agent.close();
  };

  checks[`${between}: 1,000 requests at once`] = async (folder) => {
    const { agent, connector } = await start(folder);
    const many = await connector.ask('many', { count: 1000, path: '/echo', body: { length: 500 } });
    assert.deepEqual(many.answers, { 200: 1000 });
    await connector.close();
    await agent.close();
  };

  checks[`${between}: calls while a request is outstanding`] = async (folder) => {
    const { agent, connector } = await start(folder);
    const held = connector.ask('send', { path: '/hold' });
    const called = await connector.ask('send', { path: '/call/20' });
    assert.deepEqual(called.streams[0].json.statuses, Array(20).fill(200));
    const large = await connector.ask('send', { path: '/call/3/100000' });
    assert.deepEqual(large.streams[0].json.lengths, [100_000, 100_000, 100_000]);
    await connector.ask('send', { path: '/release' });
    assert.equal((await held).status, 200);
    const path_ = '/v3/conversations/c/activities';
    assert.equal((await agent.ask('send', { path: path_, body: { json: {} } })).status, 200);
    assert.equal((await agent.ask('send', { path: path_, verb: 'DELETE' })).status, 200);
    await connector.close();
    await agent.close();
  };

  checks[`${between}: sessions end and new ones begin`] = async (folder) => {
    const { agent, connector } = await start(folder);
    // Whoever connects to the package before it knows that a session is over is neither served nor
    // closed, ever.
    const over = async () => {
      for (const pipe of one === 'bfs.mjs' ? ['read', 'write'] : [undefined]) {
        await agent.event((said) => said.event === 'closed' && said.pipe === pipe);
      }
    };
    for (const how of ['/drop', '/abort']) {
      assert.equal((await connector.ask('send', { path: how })).error, 'the session ended');
      await connector.ask('abort');
      await over();
      await connector.ask('connect');
      assert.equal((await connector.ask('send', { path: '/status/201' })).status, 201);
    }
    const never = connector.ask('send', { path: '/never' });
    await connector.ask('abort');
    assert.equal((await never).error, 'the session ended');
    await over();
    await connector.ask('connect');
    assert.equal((await connector.ask('send', { path: '/status/202' })).status, 202);
    assert.equal((await connector.ask('send', { path: '/exit' })).error, 'the session ended');
    assert.equal((await within(agent.ended, 'the end of the agent'))[0], 9);
    await connector.close();
  };
}

for (const driver of ['frames.mjs', 'bfs.mjs']) {
  checks[`bot.cjs with ${driver}`] = async (folder) => {
    const bot = await Peer.start('bot.cjs', 'check', '--in', folder);
    const connector = await Peer.start(driver, 'connector', 'check', '--in', folder);
    await connector.ask('connect');
    await connector.ask('watch', { on: true });
    const say = (text, more) => connector.ask('send', { path: '/api/messages', body: activity(text, more) });
    const call = async () => {
      const { verb, path: asked, streams } = await connector.event(({ event }) => event === 'request');
      return [verb, asked.replace('/v3/conversations/conv1/activities', ''), streams[0]?.json?.text];
    };
    assert.equal((await say('hello')).status, 200);
    assert.deepEqual(await call(), ['POST', '/in1', 'echo: hello']);
    assert.equal((await say('update')).status, 200);
    assert.deepEqual([await call(), await call()], [['POST', '/in1', 'before'], ['PUT', '/r2', 'after']]);
    assert.equal((await say('delete')).status, 200);
    assert.deepEqual([await call(), await call()],
      [['POST', '/in1', 'to be deleted'], ['DELETE', '/r4', undefined]]);
    assert.equal((await say('proactive')).status, 200);
    assert.deepEqual(await call(), ['POST', '', 'proactive']);
    const invoked = await say(undefined, { type: 'invoke', name: 'foo' });
    assert.deepEqual([invoked.status, invoked.streams[0].json], [200, { invoked: 'foo' }]);
    assert.equal((await say(undefined, { type: 'invoke', name: 'ignored' })).status, 501);
    const expected = await say('hello', { deliveryMode: 'expectReplies' });
    assert.equal(expected.streams[0].json.activities[0].text, 'echo: hello');
    assert.equal((await say('fail')).status, 500);
    await connector.close();
    assert.equal(await bot.close(), 0);
  };
}

for (const where of ['a port', 'a socket']) {
  checks[`agent-http.mjs at ${where}`] = async (folder) => {
    const socket = path.join(folder, 'agent.sock');
    const agent = await Peer.start('agent-http.mjs', ...(where === 'a port' ? [] : ['--listen', socket]));
    const channel = await Peer.start('channel-http.mjs');
    const serviceUrl = `${channel.ready.slice('ready '.length)}/some/place/`;
    const to = where === 'a port' ? `${agent.ready.slice('ready '.length)}/api/messages` : `unix:${socket}`;
    const say = (text, more) => (
      channel.ask('post', { to, body: activity(text, { serviceUrl, ...more }).json }));
    assert.equal((await say('hello')).status, 200);
    const { method, url, headers, body } = await channel.event(({ event }) => event === 'call');
    assert.deepEqual([method, url], ['POST', '/some/place/v3/conversations/conv1/activities/in1']);
    assert.equal(body.text, 'echo: hello');
    assert.equal(headers.authorization, undefined);
    const invoked = await say(undefined, { type: 'invoke', name: 'foo' });
    assert.deepEqual([invoked.status, invoked.body], [200, { invoked: 'foo' }]);
    const expected = await say('hello', { deliveryMode: 'expectReplies' });
    assert.equal(expected.body.activities[0].text, 'echo: hello');
    assert.equal((await say('hello', { serviceUrl: 'unix:/nowhere' })).status, 500);
    await channel.close();
    assert.equal(await agent.close(), 0);
  };
}

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  if (process.argv[2] && !name.includes(process.argv[2])) continue;
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'directline-'));
  try {
    await check(folder);
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n${error.stack}`);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}
process.exit(failed === 0 ? 0 : 1);
