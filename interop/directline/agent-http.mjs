// An HTTP agent made with the npm package `@microsoft/agents-hosting`, as its documentation makes one
// with express, but without authentication: what stands behind a gateway from DirectLine's pipes.
// Usage: node agent-http.mjs [--listen PORT|SOCKET]
//
// It listens on a free port of 127.0.0.1, or on the one or the Unix socket that it is told; the first
// line is `ready http://127.0.0.1:PORT` or `ready unix:SOCKET` (lines.mjs). Errors of turns are lines
// {"event": "turn error", "error"}.
//
// The package needs Node 20.19; from 20.17 it runs with `node --experimental-require-module`.
//
// Without a client id in its environment, and with NODE_ENV other than `production`, the package takes
// requests that have no Authorization header as anonymous, and then sends none itself. A request that
// has one is refused (401), whatever it is.
//
// What it does with a message's text, and the calls that come of it, to URLs that begin with the
// activity's `serviceUrl` (c: the conversation's id, i: the id of the activity that came):
//
//   anything          POST /v3/conversations/c/activities/i     "echo: ..."
//   attach            the same, with an attachment: text/plain as a data: URL
//   many N            N of them, one after the other
//   update            POST as above, PUT /v3/conversations/c/activities/ID, ID of the first answer
//   delete            POST as above, DELETE /v3/conversations/c/activities/ID
//   send              POST /v3/conversations/c/activities
//   member ID         GET /v3/conversations/c/members/ID; then the name as an echo
//   proactive         after the turn: POST /v3/conversations/c/activities   "proactive"
//   received          the types and lengths of the attachments that came, as text
//   big N             an echo with a text of N letters
//   fail              an error in the turn: 500
//
// An invoke is answered with 200 {"invoked": NAME}, with another status where `value.status` says so;
// not at all where its name is `ignored` (501). With `deliveryMode: expectReplies` the replies are in
// the answer. Other activities: nothing is called.
import { createRequire } from 'node:module';

import { obey, open, read, say, tell, watch } from './lines.mjs';

const require = createRequire(import.meta.url);
const express = require('express');
const { Activity, ActivityTypes } = require('@microsoft/agents-activity');
const { CloudAdapter, MessageFactory, authorizeJWT } = require('@microsoft/agents-hosting');

const { options } = read(process.argv.slice(2));
const configuration = {};
const adapter = new CloudAdapter(configuration);
adapter.onTurnError = async (context, error) => {
  tell({ event: 'turn error', error: String(error?.message ?? error) });
  throw error;
};

const connector = (context) => context.turnState.get(adapter.ConnectorClientKey);

function plain(context, text) {
  const { conversation, recipient, from, channelId, serviceUrl } = context.activity;
  return Activity.fromObject({
    type: ActivityTypes.Message, text, conversation, from: recipient, recipient: from, channelId, serviceUrl,
  });
}

async function message(context) {
  const { activity } = context;
  const [word, value] = String(activity.text ?? '').split(' ');
  switch (word) {
    case 'attach':
      await context.sendActivity(MessageFactory.attachment({
        contentType: 'text/plain',
        contentUrl: 'data:text/plain;base64,aGVsbG8=',
        name: 'hello.txt',
      }));
      break;
    case 'many':
      for (let at = 0; at < Number(value); at += 1) await context.sendActivity(`echo: ${at}`);
      break;
    case 'update': {
      const { id } = await context.sendActivity('before');
      await context.updateActivity(Object.assign(MessageFactory.text('after'), { id }));
      break;
    }
    case 'delete': {
      const { id } = await context.sendActivity('to be deleted');
      await context.deleteActivity(id);
      break;
    }
    case 'send':
      await connector(context).sendToConversation(activity.conversation.id, plain(context, 'sent'));
      break;
    case 'member': {
      const { name } = await connector(context).getConversationMember(value, activity.conversation.id);
      await context.sendActivity(`member: ${name}`);
      break;
    }
    case 'proactive': {
      // continueConversation wants an identity, for which there are no tokens here; the turn's own
      // connector outlives it.
      const client = connector(context);
      const later = plain(context, 'proactive');
      setImmediate(() => client.sendToConversation(later.conversation.id, later).catch((error) => {
        tell({ event: 'proactive failed', error: String(error.message) });
      }));
      break;
    }
    case 'received': {
      const told = (activity.attachments ?? []).map((each) => `${each.contentType} ${each.content?.length}`);
      await context.sendActivity(`received: ${told.join(', ')}`);
      break;
    }
    case 'big':
      await context.sendActivity('x'.repeat(Number(value)));
      break;
    case 'fail':
      throw new Error('the agent fails as it was told to');
    default:
      await context.sendActivity(`echo: ${activity.text}`);
  }
}

async function turn(context) {
  const { activity } = context;
  if (activity.type === ActivityTypes.Message) {
    await message(context);
  } else if (activity.type === ActivityTypes.Invoke && activity.name !== 'ignored') {
    await context.sendActivity(Activity.fromObject({
      type: ActivityTypes.InvokeResponse,
      value: { status: activity.value?.status ?? 200, body: { invoked: activity.name } },
    }));
  }
}

const app = express();
// Express takes bodies of 100 kB where it isn't told otherwise.
app.use(express.json({ limit: '200mb' }));
app.use(authorizeJWT(configuration));
app.post('/api/messages', (request, response, next) => {
  adapter.process(request, response, turn).catch(next);
});
// With four arguments express takes it for what answers errors.
app.use((error, request, response, next) => {
  if (response.headersSent) {
    next(error);
    return;
  }
  response.status(error.status ?? 500).json({ error: String(error.message) });
});

watch(options);
await open(options);
const listen = options.listen ?? '0';
const server = /^\d+$/.test(listen) ? app.listen(Number(listen), '127.0.0.1') : app.listen(listen);
server.on('error', (error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
server.on('listening', () => {
  const address = server.address();
  say(typeof address === 'string' ? `ready unix:${address}` : `ready http://127.0.0.1:${address.port}`);
});
await obey({}, () => { server.close(); });
