//! Turns: what a bot does about one activity.

mod held;
mod http_client;
mod operation;
mod replies;
mod route;

use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use self::held::Held;
pub use self::http_client::HttpClient;
pub(crate) use self::operation::Operation;
pub use self::replies::ReplyLimits;
use self::replies::{Lane, Reply};
pub(crate) use self::replies::{Receipt, Replies};
pub use self::route::{ErrorHook, Messages, MessagesOptions};
use crate::{Activity, Client, Error, ErrorKind, service_url};

/// What the work on an activity ends with. A function may return another error as well, if that
/// becomes a boxed one.
pub type TurnResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

const TRACE: &str = "trace";
const INVOKE: &str = "invoke";
const INVOKE_RESPONSE: &str = "invokeResponse";

/// The work on one activity, and the way to answer it. Clones are the same turn; one that is kept
/// sends to the conversation when the turn has long ended.
///
/// What is sent is queued, and nothing waits for the other end: it may be one that looks at replies
/// only when it has the answer to its activity. Replies that are made just before the turn ends
/// follow the answer. The replies of a turn arrive in their order. Those of all turns together are
/// bounded by [`ReplyLimits`]; of one that fails afterwards the observer is told.
///
/// Members that an activity lacks are filled in: `conversation`, `channelId` and `serviceUrl` are
/// the inbound activity's, `from` is its recipient and `recipient` its sender.
///
/// An activity `trace` is sent to the channel `emulator` alone; an `invokeResponse` is not sent, but
/// is what the turn's invoke is answered with. Where the inbound activity's `deliveryMode` is
/// `expectReplies`, what is sent until the turn ends goes into its answer in place of the pipe.
#[derive(Clone)]
pub struct Turn {
    inner: Arc<Inner>,
}

struct Inner {
    /// The inbound activity without its content.
    inbound: Activity,
    client: Client,
    http: Option<HttpClient>,
    lane: Lane,
    held: Held,
}

/// What an invoke is answered with.
#[derive(Clone, Debug)]
struct InvokeResponse {
    status: StatusCode,
    body: Option<Value>,
}

impl Turn {
    fn new(inbound: &Activity, client: Client, http: Option<HttpClient>) -> Self {
        let expects = inbound.delivery_mode.as_deref();
        let expects = expects.is_some_and(|mode| mode.eq_ignore_ascii_case("expectReplies"));
        let inner = Inner {
            inbound: inbound.reference(),
            http,
            lane: client.replies().lane(),
            held: Held::new(Arc::clone(client.replies()), expects),
            client,
        };
        Turn { inner: Arc::new(inner) }
    }

    /// The inbound activity's type, ids, conversation, parties and ways; not its content.
    pub fn inbound(&self) -> &Activity {
        &self.inner.inbound
    }

    /// Calls the other end, for what has no method here.
    pub fn client(&self) -> &Client {
        &self.inner.client
    }

    /// Sends a reply to the inbound activity: a text, or an activity.
    ///
    /// # Errors
    ///
    /// As [`send_all`](Self::send_all).
    pub fn reply(&self, activity: impl Into<Activity>) -> Result<(), Error> {
        self.queue(vec![self.replying(activity.into())], None)
    }

    /// Sends an activity to the conversation; a reply, where it says to what.
    ///
    /// # Errors
    ///
    /// As [`send_all`](Self::send_all).
    pub fn send(&self, activity: impl Into<Activity>) -> Result<(), Error> {
        self.queue(vec![activity.into()], None)
    }

    /// Sends activities to the conversation, all of them or none. The first one's `serviceUrl` is
    /// all of theirs.
    ///
    /// # Errors
    ///
    /// - [`SendQueueFull`](ErrorKind::SendQueueFull): there is no place for all of them;
    /// - [`Usage`](ErrorKind::Usage): an activity names a conversation without an id, or an
    ///   `invokeResponse` has no status; the service URL is no pipe's, and there is no
    ///   [`HttpClient`].
    ///
    /// Nothing is sent then.
    pub fn send_all(&self, batch: impl IntoIterator<Item = Activity>) -> Result<(), Error> {
        self.queue(batch.into_iter().collect(), None)
    }

    /// Sends a reply to the inbound activity and waits until the other end has it. The result is the
    /// id that it has got, if the other end tells one. Once it has begun, dropping the future
    /// does not take the reply back.
    ///
    /// An other end that waits for the turn's answer first makes this fail after
    /// [`ReplyLimits::timeout`].
    ///
    /// # Errors
    ///
    /// As [`send_all`](Self::send_all) and [`Client::call`]; and
    /// [`SendTimedOut`](ErrorKind::SendTimedOut), or [`Refused`](ErrorKind::Refused) for an answer
    /// that is no success.
    pub async fn reply_and_wait(
        &self,
        activity: impl Into<Activity>,
    ) -> Result<Option<String>, Error> {
        self.queue_and_wait(self.replying(activity.into())).await
    }

    /// Sends an activity as [`send`](Self::send) does and waits, as
    /// [`reply_and_wait`](Self::reply_and_wait) does.
    ///
    /// # Errors
    ///
    /// As [`reply_and_wait`](Self::reply_and_wait).
    pub async fn send_and_wait(
        &self,
        activity: impl Into<Activity>,
    ) -> Result<Option<String>, Error> {
        self.queue_and_wait(activity.into()).await
    }

    /// Replaces the activity of that id, after the replies that were made before, and waits for the
    /// answer: the id that it tells, if any. Where the turn expects replies, this goes to the other
    /// end all the same.
    ///
    /// # Errors
    ///
    /// - [`Protocol`](ErrorKind::Protocol): the activity has no id;
    /// - [`Refused`](ErrorKind::Refused): the answer is no success;
    /// - as [`Client::call`], and `Usage` as for [`send_all`](Self::send_all).
    pub async fn update(&self, activity: impl Into<Activity>) -> Result<Option<String>, Error> {
        let mut activity = activity.into();
        activity.address(self.inbound());
        let url = activity.service_url.clone();
        self.perform(Operation::put(activity)?, url.as_deref()).await
    }

    /// Deletes the activity of that id from the conversation, after the replies that were made
    /// before, and waits for the answer.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update).
    pub async fn delete(&self, id: &str) -> Result<(), Error> {
        let conversation = self.inbound().conversation_id().unwrap_or_default();
        let operation = Operation::delete(conversation, id)?;
        self.perform(operation, self.inbound().service_url.as_deref()).await.map(drop)
    }

    /// What the inbound activity is answered with, if that is an invoke; the last one counts.
    ///
    /// # Errors
    ///
    /// Of kind [`Usage`](ErrorKind::Usage): the body is no JSON.
    pub fn respond_invoke(&self, status: StatusCode, body: impl Serialize) -> Result<(), Error> {
        let body = serde_json::to_value(body).map_err(|error| {
            Error::new(ErrorKind::Usage, format!("the response's body is no JSON: {error}"))
        })?;
        let mut activity = Activity::new(INVOKE_RESPONSE);
        activity.value = Some(json!({"status": status.as_u16(), "body": body}));
        self.queue(vec![activity], None)
    }

    fn replying(&self, mut activity: Activity) -> Activity {
        if activity.reply_to_id.is_none() {
            activity.reply_to_id.clone_from(&self.inbound().id);
        }
        activity
    }

    async fn queue_and_wait(&self, activity: Activity) -> Result<Option<String>, Error> {
        let (told_tx, told_rx) = oneshot::channel();
        self.queue(vec![activity], Some(told_tx))?;
        let dropped = || Error::new(ErrorKind::Cancelled, "the reply was dropped");
        told_rx.await.unwrap_or_else(|_| Err(dropped()))
    }

    /// Queues activities; `told_tx` is for one alone.
    fn queue(
        &self,
        mut batch: Vec<Activity>,
        mut told_tx: Option<oneshot::Sender<Result<Receipt, Error>>>,
    ) -> Result<(), Error> {
        let Inner { inbound, client, lane, held, .. } = &*self.inner;
        let mut invoke = None;
        for activity in &mut batch {
            activity.address(inbound);
            if activity.is(INVOKE_RESPONSE) {
                invoke = Some(InvokeResponse::of(activity.value.as_ref())?);
            }
        }
        batch.retain(|activity| !activity.is(TRACE) || is_emulator(activity));
        let Err((batch, invoke)) = held.collect(batch, invoke) else {
            nothing_to_tell(told_tx);
            return Ok(());
        };
        let sent: Vec<Activity> =
            batch.into_iter().filter(|activity| !activity.is(INVOKE_RESPONSE)).collect();
        let Some(first) = sent.first() else {
            held.answer_invoke(invoke);
            nothing_to_tell(told_tx);
            return Ok(());
        };
        let way = self.way(first.service_url.as_deref())?;
        let operations: Vec<Operation> =
            sent.into_iter().map(Operation::post).collect::<Result<_, _>>()?;
        let slots = client.replies().reserve(operations.len())?;
        held.answer_invoke(invoke);
        let replies = operations.into_iter().zip(slots).map(|(operation, slot)| {
            let way = way.clone();
            Reply {
                lane: *lane,
                slot,
                send: Box::new(move |written| {
                    Box::pin(async move { way.perform(operation, Some(written)).await })
                }),
                told_tx: told_tx.take(),
            }
        });
        held.send(replies.collect());
        Ok(())
    }

    async fn perform(&self, operation: Operation, url: Option<&str>) -> Result<Receipt, Error> {
        let way = self.way(url)?;
        self.inner.held.start();
        way.perform(operation, None).await
    }

    fn way(&self, url: Option<&str>) -> Result<Way, Error> {
        match (url, &self.inner.http) {
            (Some(url), _) if service_url::is_pipe_url(url) => {
                Ok(Way::Pipe(self.inner.client.clone()))
            }
            (Some(url), Some(http)) => Ok(Way::Http(http.clone(), url.to_owned())),
            _ => {
                let what = "the service URL is not the pipe's, and there is no HTTP client";
                Err(Error::new(ErrorKind::Usage, what))
            }
        }
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("inbound", self.inbound()).finish_non_exhaustive()
    }
}

/// Which way something goes.
#[derive(Clone)]
enum Way {
    Pipe(Client),
    Http(HttpClient, String),
}

impl Way {
    async fn perform(
        self,
        operation: Operation,
        written: Option<crate::session::UntilWritten>,
    ) -> Result<Receipt, Error> {
        match self {
            Way::Pipe(client) => operation.over_pipe(&client, written).await,
            // Each is answered before the next one is sent: connections have no order.
            Way::Http(http, url) => {
                let result = operation.over_http(http, &url).await;
                drop(written);
                result
            }
        }
    }
}

impl InvokeResponse {
    fn of(value: Option<&Value>) -> Result<Self, Error> {
        let status = value.and_then(|value| value.get("status")).and_then(Value::as_u64);
        let status = status.and_then(|status| u16::try_from(status).ok());
        let status =
            status.and_then(|status| StatusCode::from_u16(status).ok()).ok_or_else(|| {
                Error::new(ErrorKind::Usage, "an invokeResponse has a value with a status")
            })?;
        let body = value.and_then(|value| value.get("body")).filter(|body| !body.is_null());
        Ok(InvokeResponse { status, body: body.cloned() })
    }
}

/// What is not sent has no id.
fn nothing_to_tell(told_tx: Option<oneshot::Sender<Result<Receipt, Error>>>) {
    if let Some(told_tx) = told_tx {
        // Who waited may have given up.
        let _ = told_tx.send(Ok(None));
    }
}

fn is_emulator(activity: &Activity) -> bool {
    activity.channel_id.as_deref() == Some("emulator")
}
