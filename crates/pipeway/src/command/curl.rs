//! `pipeway curl`: one HTTP request, with curl's options.

mod body;
mod progress;
mod report;

use std::time::Instant;

use http_body_util::BodyExt;
use hyper::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use pipeway_transport::Endpoint;
use tokio::io::{AsyncWrite, AsyncWriteExt, BufWriter};

use self::body::Upload;
use self::progress::Progress;
use self::report::WriteOut;
use super::client::{self, Headers, request_path};
use crate::args::CurlArgs;
use crate::exit::Exit;
use crate::output::{Failure, talk};

/// Sends the request and writes the answer.
pub(crate) async fn curl(args: CurlArgs) -> Result<(), Failure> {
    let quiet = args.silent && !args.show_error;
    let progress = Progress::new();
    let limit = args.client.max_time;
    let shown = progress::is_wanted(&args);
    let work = client::within(limit, transfer(&args, &progress), || progress.so_far());
    let ended = if shown { progress.shown_during(work).await } else { work.await };
    match ended {
        Err(failure) if quiet => Err(Failure::told(failure.exit())),
        ended => ended,
    }
}

async fn transfer(args: &CurlArgs, progress: &Progress) -> Result<(), Failure> {
    let begin = Instant::now();
    let write_out = args.write_out.as_deref().map(WriteOut::parse).transpose()?;
    let (request, upload) = request(args, progress).await?;
    let asks_head = request.method() == Method::HEAD;

    let (tap, account, connected) = client::open(&args.client).await?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .title_case_headers(true)
        .max_headers(1024)
        .handshake(TokioIo::new(tap))
        .await
        .map_err(|error| broken(&error, "the connection failed"))?;
    let connection = tokio::spawn(connection);

    let answer = match sender.send_request(request).await {
        Ok(answer) => answer,
        Err(error) => {
            if let Some(failure) = upload.failure() {
                return Err(failure);
            }
            // A request that the connection dropped says only so; the connection knows why.
            let told = if error.is_canceled() { connection.await.ok() } else { None };
            let error = told.and_then(Result::err).unwrap_or(error);
            return Err(no_answer(&error, &args.client.endpoint));
        }
    };
    let status = answer.status();
    if args.fail && status.as_u16() >= 400 {
        return Err(Failure::new(Exit::Refused, format!("the answer's status is {status}")));
    }

    let mut output = open_output(args).await?;
    if args.include || args.head {
        output.write(&account.received()).await?;
    }
    let length = content_length(answer.headers());
    progress.expect(if asks_head { None } else { length });
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                output.finish().await?;
                return Err(match upload.failure() {
                    Some(failure) => failure,
                    None => broken(&error, &cut_short(progress, length)),
                });
            }
        };
        match frame.into_data() {
            Ok(data) => {
                progress.received(data.len());
                output.write(&data).await?;
            }
            Err(frame) => tell_trailers(args, frame.trailers_ref()),
        }
    }
    output.finish().await?;
    if let Some(format) = write_out {
        let first_byte = account.first_byte().map(|at| at.duration_since(begin));
        let total = begin.elapsed();
        let text =
            format.text(status.as_u16(), progress, [Some(connected), first_byte, Some(total)]);
        let mut stdout = Output::stdout();
        stdout.write(text.as_bytes()).await?;
        stdout.finish().await?;
    }
    Ok(())
}

/// The request that the options ask for.
async fn request(
    args: &CurlArgs,
    progress: &Progress,
) -> Result<(Request<body::Body>, Upload), Failure> {
    let (mut path, host) = request_path(&args.client.path)?;
    let mut headers = Headers::new(&args.client.headers)?;
    headers.default(HOST, host.as_deref().unwrap_or("localhost"));
    headers.default(USER_AGENT, concat!("pipeway/", env!("CARGO_PKG_VERSION")));

    let data = body::data(&args.data).await?;
    let mut default_method = if args.head { Method::HEAD } else { Method::GET };
    let upload = match (data, &args.upload_file) {
        (Some(data), _) if args.get || args.head => {
            let joint = if path.contains('?') { '&' } else { '?' };
            path = format!("{path}{joint}{}", String::from_utf8_lossy(&data));
            Upload::empty()
        }
        (Some(data), _) => {
            default_method = Method::POST;
            let json = !args.data.json.is_empty();
            let kind = if json { "application/json" } else { "application/x-www-form-urlencoded" };
            if json {
                headers.default(ACCEPT, kind);
            }
            headers.default(CONTENT_TYPE, kind);
            Upload::of(data, progress)
        }
        (None, Some(file)) => {
            default_method = Method::PUT;
            let upload = Upload::open(file, progress).await?;
            if path.ends_with('/')
                && let Some(name) = file.file_name().filter(|_| !body::is_stdin(file))
            {
                path.push_str(&body::percent_encoded(&name.to_string_lossy()));
            }
            upload
        }
        (None, None) => Upload::empty(),
    };
    if let Some(length) = upload.known_length() {
        headers.default(CONTENT_LENGTH, &length.to_string());
    }
    headers.default(ACCEPT, "*/*");
    let method = match &args.method {
        None => default_method,
        Some(name) => Method::from_bytes(name.as_bytes()).map_err(|_| {
            Failure::new(Exit::Usage, format!("`{}` is not a method", name.escape_debug()))
        })?,
    };
    let (path, _) = request_path(&path)?;
    let (body, upload) = upload.into_body();
    let mut request =
        Request::builder().method(method).uri(path).body(body).map_err(|error| {
            Failure::new(Exit::Usage, "the request can't be written").cause(&error)
        })?;
    *request.headers_mut() = headers.into_map();
    Ok((request, upload))
}

/// Where the body goes.
struct Output {
    to: Box<dyn AsyncWrite + Unpin>,
    name: String,
    at_once: bool,
}

impl Output {
    fn stdout() -> Self {
        Output { to: Box::new(tokio::io::stdout()), name: "standard output".into(), at_once: true }
    }

    async fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        let written = async {
            self.to.write_all(data).await?;
            if self.at_once { self.to.flush().await } else { Ok(()) }
        };
        written.await.map_err(|error| self.failure(&error))
    }

    async fn finish(&mut self) -> Result<(), Failure> {
        self.to.flush().await.map_err(|error| self.failure(&error))
    }

    fn failure(&self, error: &std::io::Error) -> Failure {
        Failure::new(Exit::Failure, format!("can't write to {}", self.name)).cause(error)
    }
}

async fn open_output(args: &CurlArgs) -> Result<Output, Failure> {
    match args.output.as_deref().filter(|path| !body::is_stdin(path)) {
        None => Ok(Output::stdout()),
        Some(path) => {
            let name = path.display().to_string();
            let file = tokio::fs::File::create(path).await.map_err(|error| {
                Failure::new(Exit::Failure, format!("can't write to {name}")).cause(&error)
            })?;
            let to: Box<dyn AsyncWrite + Unpin> = if args.no_buffer {
                Box::new(file)
            } else {
                Box::new(BufWriter::with_capacity(1 << 18, file))
            };
            Ok(Output { to, name, at_once: args.no_buffer })
        }
    }
}

fn content_length(headers: &hyper::HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn tell_trailers(args: &CurlArgs, trailers: Option<&hyper::HeaderMap>) {
    if args.client.verbose {
        for (name, value) in trailers.into_iter().flatten() {
            talk(&format!("< {name}: {}", value.as_bytes().escape_ascii()));
        }
    }
}

fn cut_short(progress: &Progress, length: Option<u64>) -> String {
    let came = progress.came();
    match length {
        Some(length) => format!("the answer was cut short: {came} of {length} bytes came"),
        None => format!("the answer was cut short after {came} bytes"),
    }
}

/// No head of an answer came.
fn no_answer(error: &hyper::Error, endpoint: &Endpoint) -> Failure {
    if error.is_parse() {
        return Failure::new(Exit::Failure, format!("what came from {endpoint} is no HTTP answer"))
            .cause(&deepest(error))
            .hint("see whether the service speaks HTTP/1.1 there");
    }
    if error.is_user() {
        return Failure::new(Exit::Failure, "the request could not be sent").cause(&deepest(error));
    }
    broken(error, &format!("{endpoint} closed the connection without an answer"))
}

fn broken(error: &hyper::Error, message: &str) -> Failure {
    Failure::new(Exit::Incomplete, message).cause(&deepest(error))
}

fn deepest(error: &hyper::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
