//! Operations on the activities of a conversation, over the pipe or by HTTP.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response};
use serde_json::Value;

use super::{HttpClient, Receipt};
use crate::service_url::Activities;
use crate::session::UntilWritten;
use crate::{Activity, Attachments, Body, Client, Error, ErrorKind, RawPath};

/// A request that is ready to be sent.
pub(crate) struct Operation {
    verb: Method,
    path: String,
    activity: Option<Activity>,
}

impl Operation {
    /// Sends an activity: to its conversation, or to what it replies to.
    pub(crate) fn post(mut activity: Activity) -> Result<Self, Error> {
        let conversation = activity.conversation_id().ok_or_else(|| {
            Error::new(ErrorKind::Usage, "the activity that is to be sent has no conversation")
        })?;
        let path = path(conversation, activity.reply_to_id.clone());
        // It is given its id by who takes it.
        activity.id = None;
        activity.other.remove("id");
        Ok(Operation { verb: Method::POST, path, activity: Some(activity) })
    }

    /// Replaces an activity.
    pub(crate) fn put(activity: Activity) -> Result<Self, Error> {
        let place = activity.conversation_id().zip(activity.id.clone());
        let Some((conversation, id)) = place.filter(|(_, id)| !id.is_empty()) else {
            let what = "the activity that is to be updated has no id, or no conversation";
            return Err(Error::new(ErrorKind::Protocol, what));
        };
        let path = path(conversation, Some(id));
        Ok(Operation { verb: Method::PUT, path, activity: Some(activity) })
    }

    /// Deletes an activity.
    pub(crate) fn delete(conversation: &str, id: &str) -> Result<Self, Error> {
        if id.is_empty() {
            let what = "the activity that is to be deleted has no id";
            return Err(Error::new(ErrorKind::Protocol, what));
        }
        let path = path(conversation, Some(id.to_owned()));
        Ok(Operation { verb: Method::DELETE, path, activity: None })
    }

    /// Does it over the pipe: bytes among the attachments are streams of their own.
    pub(crate) async fn over_pipe(
        mut self,
        client: &Client,
        written: Option<UntilWritten>,
    ) -> Result<Receipt, Error> {
        let attachments = self.activity.as_mut().map(Activity::take_out).unwrap_or_default();
        let mut request = self.request()?;
        if !attachments.0.is_empty() {
            request.extensions_mut().insert::<Attachments>(attachments);
        }
        request.extensions_mut().insert(RawPath(self.path));
        receipt(client.call_until_written(request, written).await?)
    }

    /// Does it by HTTP, at a service URL.
    pub(crate) async fn over_http(self, http: HttpClient, url: &str) -> Result<Receipt, Error> {
        let mut request = self.request()?;
        let url = format!("{}{}", url.trim_end_matches('/'), self.path);
        *request.uri_mut() = url.parse().map_err(|_| {
            Error::new(ErrorKind::Usage, "the service URL is no URL that can be called")
        })?;
        receipt(http.call(request).await.map_err(Error::http)?)
    }

    fn request(&self) -> Result<Request<Body>, Error> {
        let body = match &self.activity {
            Some(activity) => Bytes::from(serde_json::to_vec(activity).map_err(|error| {
                Error::new(ErrorKind::Usage, format!("the activity is no JSON: {error}"))
            })?)
            .into(),
            None => Body::empty(),
        };
        let mut request = Request::new(body);
        request.method_mut().clone_from(&self.verb);
        if self.activity.is_some() {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, json);
        }
        Ok(request)
    }
}

fn path(conversation: &str, activity: Option<String>) -> String {
    let activity = activity.filter(|id| !id.is_empty());
    Activities { conversation: conversation.to_owned(), activity }.to_path()
}

/// The id in an answer. One that tells none is as good.
fn receipt(response: Response<Body>) -> Result<Receipt, Error> {
    if !response.status().is_success() {
        return Err(Error::refused(response.status()));
    }
    let body = response.into_body().into_bytes();
    Ok(match serde_json::from_slice(&body) {
        Ok(Value::Object(mut members)) => match members.remove("id") {
            Some(Value::String(id)) if !id.is_empty() => Some(id),
            _ => None,
        },
        _ => None,
    })
}
