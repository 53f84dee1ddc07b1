// A bot made with the npm package `botbuilder` (v4) on its server for named pipes, without credentials.
// Usage: node bot.cjs NAME [--in FOLDER] [--prefix PREFIX] [--adapter cloud|old] [--mended yes]
//
// `cloud` (as it is by default) is CloudAdapter.connectNamedPipe, `old` BotFrameworkAdapter.useNamedPipe.
// With a service's URL that begins with `urn:` the path of every call of the old one is that URL and
// nothing else, in this version: use it for answers of turns only. `--in`, `--prefix` and `--mended` are
// those of bfs.mjs. `ready bot` says that both pipes are there (lines.mjs). Errors of turns are lines
// {"event": "turn error", "error"}.
//
// What it does with a message's text, and the calls that come of it (c: the conversation's id, i: the
// id of the activity that came):
//
//   anything          POST /v3/conversations/c/activities/i     "echo: ..."
//   attach            the same, with an attachment: text/plain as a data: URL
//   many N            N of them, one after the other
//   update            POST as above, PUT /v3/conversations/c/activities/ID, ID of the first answer
//   delete            POST as above, DELETE /v3/conversations/c/activities/ID
//   send              POST /v3/conversations/c/activities, no replyToId
//   members           GET /v3/conversations/c/members; then their count as an echo
//   proactive         after the turn, so after the answer to /api/messages:
//                     POST /v3/conversations/c/activities   "proactive"
//   received          the types and lengths of the attachments that came, as text
//   big N             an echo with a text of N letters
//   fail              an error in the turn: 500 with cloud and old
//
// An invoke is answered with 200 {"invoked": NAME}, with another status where `value.status` says so;
// not at all where its name is `ignored` (501). With `deliveryMode: expectReplies` the replies are in
// the answer. Other activities: nothing is called.
'use strict';
const {
  ActivityTypes, BotFrameworkAdapter, CloudAdapter, ConfigurationBotFrameworkAuthentication,
  MessageFactory, TurnContext,
} = require('botbuilder');
const { NamedPipeServer } = require('botframework-streaming');
const { NamedPipeTransport } = require('botframework-streaming/lib/namedPipe/namedPipeTransport.js');

const { mend } = require('./mended.cjs');

let adapter;
let old;
let tell;

async function message(context) {
  const { activity } = context;
  const [word, number] = String(activity.text ?? '').split(' ');
  switch (word) {
    case 'attach':
      await context.sendActivity(MessageFactory.attachment({
        contentType: 'text/plain',
        contentUrl: 'data:text/plain;base64,aGVsbG8=',
        name: 'hello.txt',
      }));
      break;
    case 'many':
      for (let at = 0; at < Number(number); at += 1) await context.sendActivity(`echo: ${at}`);
      break;
    case 'update': {
      const { id } = await context.sendActivity('before');
      await context.updateActivity({ ...MessageFactory.text('after'), id });
      break;
    }
    case 'delete': {
      const { id } = await context.sendActivity('to be deleted');
      await context.deleteActivity(id);
      break;
    }
    case 'send': {
      const connector = context.turnState.get(adapter.ConnectorClientKey)
        ?? adapter.createConnectorClient(activity.serviceUrl);
      await connector.conversations.sendToConversation(activity.conversation.id, {
        ...MessageFactory.text('sent'), from: activity.recipient, conversation: activity.conversation,
      });
      break;
    }
    case 'members': {
      const connector = context.turnState.get(adapter.ConnectorClientKey)
        ?? adapter.createConnectorClient(activity.serviceUrl);
      const members = await connector.conversations.getConversationMembers(activity.conversation.id);
      await context.sendActivity(`members: ${members.length}`);
      break;
    }
    case 'proactive':
      proactive(context);
      break;
    case 'received': {
      const told = (activity.attachments ?? []).map((each) => `${each.contentType} ${each.content?.length}`);
      await context.sendActivity(`received: ${told.join(', ')}`);
      break;
    }
    case 'big':
      await context.sendActivity('x'.repeat(Number(number)));
      break;
    case 'fail':
      throw new Error('the bot fails as it was told to');
    default:
      await context.sendActivity(`echo: ${activity.text}`);
  }
}

// CloudAdapter's continueConversationAsync makes a connector for HTTP whatever the service's URL is, so
// it cannot reach a pipe; the connector of the turn can, and outlives it. The old adapter's
// continueConversation goes by the URL and does.
function proactive(context) {
  const reference = TurnContext.getConversationReference(context.activity);
  const failed = (error) => tell({ event: 'proactive failed', error: String(error.message) });
  const connector = context.turnState.get(adapter.ConnectorClientKey);
  setImmediate(() => {
    if (old) {
      adapter.continueConversation(reference, async (later) => {
        await later.sendActivity('proactive');
      }).catch(failed);
      return;
    }
    const { conversation, bot, user, channelId, serviceUrl } = reference;
    connector.conversations.sendToConversation(conversation.id, {
      ...MessageFactory.text('proactive'), from: bot, recipient: user, conversation, channelId, serviceUrl,
    }).catch(failed);
  });
}

async function turn(context) {
  const { activity } = context;
  try {
    if (activity.type === ActivityTypes.Message) {
      await message(context);
    } else if (activity.type === ActivityTypes.Invoke && activity.name !== 'ignored') {
      await context.sendActivity({
        type: ActivityTypes.InvokeResponse,
        value: { status: activity.value?.status ?? 200, body: { invoked: activity.name } },
      });
    }
  } catch (error) {
    tell({ event: 'turn error', error: String(error.message) });
    throw error;
  }
}

async function main() {
  const lines = await import('./lines.mjs');
  const { words: [name], options } = lines.read(process.argv.slice(2));
  tell = lines.tell;
  old = options.adapter === 'old';
  if (options.in) process.chdir(options.in);
  if (options.prefix) NamedPipeTransport.PipePath = options.prefix;
  if (options.mended === 'yes') mend();
  lines.watch(options);
  await lines.open(options);

  // CloudAdapter takes no callback for the moment at which its pipes are there; the server does.
  let server;
  const { start } = NamedPipeServer.prototype;
  NamedPipeServer.prototype.start = function started() {
    server = this;
    return start.call(this, () => lines.say('ready bot'));
  };

  adapter = old
    ? new BotFrameworkAdapter({ appId: '', appPassword: '' })
    : new CloudAdapter(new ConfigurationBotFrameworkAuthentication({}));
  // The old adapter's own hook tells the user of the error and answers 200.
  adapter.onTurnError = async (context, error) => { throw error; };
  const served = old ? adapter.useNamedPipe(turn, name) : adapter.connectNamedPipe(name, turn, '', '');
  served.catch((error) => {
    process.stderr.write(`${error.stack}\n`);
    process.exit(1);
  });
  await lines.obey({}, () => { server?.disconnect(); });
}

main();
