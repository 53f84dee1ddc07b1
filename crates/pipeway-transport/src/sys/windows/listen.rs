//! The server's end of a named pipe.

use std::collections::VecDeque;
use std::io;
use std::os::windows::io::AsHandle;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_INVALID_OWNER, ERROR_PIPE_BUSY, ERROR_PRIVILEGE_NOT_HELD,
};

use super::connect::pipe_name;
use super::descriptor::Sid;
use super::engine::Worker;
use super::peer::{Client, Server};
use super::pipe::{self, Instance};
use super::security::{self, Rules};
use super::stream::LocalStream;
use crate::listen::accept_error;
use crate::{Access, Endpoint, Error, ErrorKind, HalfClose, ListenOptions, Peer, PipeName};

/// The least number of instances in all: one to be used and one that waits.
const INSTANCES_MIN: usize = 2;

/// The most instances that wait at the same time.
const WAITING_MAX: usize = 16;

/// A named pipe's name, held by at least one instance that this listener owns.
///
/// Several instances wait for clients at once. A client is handed over only when an instance
/// that can take the next one exists; so the name never vanishes, and nobody else can take it.
/// At the bound the last instance's client stays connected, unserved, until an instance ends,
/// and further clients wait in the system's queue (error 231, which they retry). An instance
/// serves one client.
#[derive(Debug)]
pub(crate) struct LocalListener {
    name: PipeName,
    endpoint: Endpoint,
    access: Access,
    me: Sid,
    rules: Rules,
    half_close: HalfClose,
    waiting: Vec<Instance>,
    connected: VecDeque<Instance>,
    places: Arc<Places>,
    worker: Option<Arc<Worker>>,
    instances_max: usize,
    waiting_wanted: usize,
}

impl LocalListener {
    pub(crate) fn bind(
        endpoint: &Endpoint,
        options: &ListenOptions,
        _private_folder: bool,
        worker: Option<Arc<Worker>>,
    ) -> Result<Self, Error> {
        let name = pipe_name(endpoint)?;
        let me = security::current_user().map_err(|error| {
            Error::new(ErrorKind::Io, "could not find out which user this process runs as")
                .source(error)
        })?;
        let rules = security::rules(&options.access, &me)?;
        // The system refuses a first instance of a name that exists; this look beforehand keeps
        // the two refusals apart from one of the account, and Wine refuses nothing.
        if pipe::exists(name) {
            return Err(taken(endpoint, name, &me));
        }
        let first =
            Instance::create(name, true, &rules.descriptor, options.half_close, worker.clone())
                .map_err(|error| create_error(endpoint, name, &me, error))?;
        let applied = security::read_back(first.as_handle()).map_err(|error| {
            Error::new(
                ErrorKind::Insecure,
                format!("the access list of {endpoint} can't be read back"),
            )
            .source(error)
        })?;
        if let Some(difference) = rules.wanted.difference(&applied) {
            return Err(Error::new(
                ErrorKind::Insecure,
                format!("{endpoint} did not get the access list that was asked for: {difference}"),
            )
            .hint("it was not started; see whether a security product changes pipes"));
        }
        let cores = std::thread::available_parallelism().map_or(INSTANCES_MIN, usize::from);
        let instances_max = usize::try_from(options.max_instances).unwrap_or(usize::MAX);
        let instances_max = instances_max.max(INSTANCES_MIN);
        let mut listener = LocalListener {
            name: name.clone(),
            endpoint: endpoint.clone(),
            access: options.access.clone(),
            me,
            rules,
            half_close: options.half_close,
            waiting: vec![first],
            connected: VecDeque::new(),
            places: Arc::default(),
            worker,
            instances_max,
            waiting_wanted: cores.clamp(INSTANCES_MIN, WAITING_MAX).min(instances_max),
        };
        listener.fill().map_err(|error| {
            let denied = is_code(&error, ERROR_ACCESS_DENIED);
            let failed = create_error(endpoint, name, &listener.me, error);
            if denied && security::is_network_logon() {
                Error::new(
                    ErrorKind::Permission,
                    format!("{endpoint} can't be served from a network logon, such as SSH with a key"),
                )
                .hint(format!(
                    "access `{}` denies these; start it from a desktop or a service, or write an access list of your own with sddl:TEXT",
                    options.access
                ))
            } else if denied {
                failed.hint("the access list must let this user make further instances (FA, or 0x12019f)")
            } else {
                failed
            }
        })?;
        Ok(listener)
    }

    pub(crate) fn is_activated(&self) -> bool {
        false
    }

    pub(crate) fn warnings(&self) -> &[String] {
        &self.rules.warnings
    }

    pub(crate) fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(LocalStream, Peer), Error>> {
        loop {
            // Before the count is read, so that a place that becomes free in between wakes us.
            self.places.watch(cx.waker());
            let filled = self.fill();
            let polled = self.poll_waiting(cx);
            let Some(instance) = self.connected.pop_front() else {
                let failed = match filled {
                    // Short of some waiting instances, the next call fills up.
                    Err(_) if !self.waiting.is_empty() => polled,
                    other => other.and(polled),
                };
                return match failed {
                    Err(error) => Poll::Ready(Err(accept_error(&self.endpoint, error))),
                    Ok(()) => Poll::Pending,
                };
            };
            if !self.waiting.is_empty() {
                return Poll::Ready(self.hand_over(instance));
            }
            let full = self.in_all() + 1 >= self.instances_max;
            if full && !self.connected.is_empty() {
                // The one behind it holds the name.
                return Poll::Ready(self.hand_over(instance));
            }
            // It stays connected until an instance can take the next client.
            self.connected.push_front(instance);
            if full {
                return Poll::Pending;
            }
            if let Err(error) = filled {
                return Poll::Ready(Err(accept_error(&self.endpoint, error)));
            }
        }
    }

    /// Makes instances until as many wait as should, or the bound is reached.
    fn fill(&mut self) -> io::Result<()> {
        while self.waiting.len() + self.connected.len() < self.waiting_wanted
            || self.waiting.is_empty()
        {
            if self.in_all() >= self.instances_max {
                break;
            }
            self.waiting.push(self.instance()?);
        }
        Ok(())
    }

    /// Another instance of the name.
    fn instance(&self) -> io::Result<Instance> {
        Instance::create(
            &self.name,
            false,
            &self.rules.descriptor,
            self.half_close,
            self.worker.clone(),
        )
    }

    /// Moves the instances that have got a client, and replaces those that can't get one.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut index = 0;
        while index < self.waiting.len() {
            match self.waiting[index].poll_connect(cx) {
                Poll::Pending => index += 1,
                Poll::Ready(Ok(())) => {
                    let instance = self.waiting.remove(index);
                    self.connected.push_back(instance);
                }
                // It is let go only when another holds the name. That one is asked at once.
                Poll::Ready(Err(_)) => {
                    self.waiting[index] = self.instance()?;
                }
            }
        }
        Ok(())
    }

    fn hand_over(&self, instance: Instance) -> Result<(LocalStream, Peer), Error> {
        let client = Client::of(instance.as_handle());
        let foreign = client.sid.as_ref().filter(|sid| **sid != self.me && !sid.is_system());
        if let (Access::Owner, Some(sid)) = (&self.access, foreign) {
            return Err(Error::new(
                ErrorKind::PeerRejected,
                format!(
                    "a process of user {sid} connected to {}, which is its owner's alone",
                    self.endpoint
                ),
            )
            .hint("to let others in, set access to group:NAME")
            .holder(client.pid));
        }
        let peer = Peer {
            pid: client.pid,
            sid: client.sid.map(|sid| sid.to_string()),
            session: client.session,
            ..Peer::default()
        };
        Ok((LocalStream::accepted(instance.into_pipe(), Place::take(&self.places)), peer))
    }

    fn in_all(&self) -> usize {
        self.waiting.len() + self.connected.len() + self.places.taken.load(Ordering::Acquire)
    }
}

/// The instances that were handed over, and whom to wake when one of them ends.
#[derive(Debug, Default)]
struct Places {
    taken: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

impl Places {
    fn watch(&self, waker: &Waker) {
        let mut slot = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *slot {
            Some(known) if known.will_wake(waker) => {}
            slot => *slot = Some(waker.clone()),
        }
    }
}

/// One handed-over instance's part of the bound.
#[derive(Debug)]
pub(super) struct Place(Arc<Places>);

impl Place {
    fn take(places: &Arc<Places>) -> Place {
        places.taken.fetch_add(1, Ordering::AcqRel);
        Place(Arc::clone(places))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
        let waker = self.0.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// What it means that an instance can't be made.
fn create_error(endpoint: &Endpoint, name: &PipeName, me: &Sid, error: io::Error) -> Error {
    match error.raw_os_error().map(|code| code as u32) {
        // The first instance of a name that exists, an instance of another user's name, and an
        // account that may make none: the system has one code for the three.
        Some(ERROR_ACCESS_DENIED) if pipe::exists(name) => taken(endpoint, name, me).source(error),
        Some(ERROR_ACCESS_DENIED) => Error::new(
            ErrorKind::Permission,
            format!("this account may not make the pipe {endpoint}"),
        )
        .hint("run as an account that may, or choose another name; a sandboxed program may only use names under LOCAL\\")
        .source(error),
        Some(ERROR_PIPE_BUSY) => taken(endpoint, name, me).source(error),
        Some(ERROR_INVALID_OWNER | ERROR_PRIVILEGE_NOT_HELD) => Error::new(
            ErrorKind::Permission,
            format!("this account may not give {endpoint} the owner that its access list names"),
        )
        .hint("access `administrators` is for a service that runs as the system; use owner or group:NAME")
        .source(error),
        _ => Error::new(ErrorKind::Io, format!("{endpoint} can't be made")).source(error),
    }
}

/// The name is taken: by whom, as far as that can be seen.
fn taken(endpoint: &Endpoint, name: &PipeName, me: &Sid) -> Error {
    let server = match pipe::open_to_look(name) {
        Ok(handle) => Server::of(handle.as_handle()),
        Err(error) if is_code(&error, ERROR_ACCESS_DENIED) => {
            return Error::new(
                ErrorKind::InUse,
                format!("{endpoint} is taken by a program that does not let this user in"),
            )
            .hint("another user runs a server of this name, or holds the name to keep you out; choose another name");
        }
        // All its instances are taken, or it has just gone.
        Err(_) => Server { pid: None, owner: None, user: None },
    };
    let by = server.pid.map_or("another program".into(), |pid| format!("process {pid}"));
    let error = if server.owner.is_none() || server.is_trusted(me) {
        Error::new(ErrorKind::InUse, format!("{endpoint} is taken by {by}"))
            .hint("stop that program, or choose another name")
    } else {
        let owner = server.user.or(server.owner).map_or("unknown".into(), |sid| sid.to_string());
        Error::new(ErrorKind::InUse, format!("{endpoint} is taken by {by} of user {owner}"))
            .hint("that is another user's server, or somebody holds the name to get your clients; choose another name")
    };
    error.holder(server.pid)
}

fn is_code(error: &io::Error, code: u32) -> bool {
    error.raw_os_error() == Some(code as i32)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::Direction;
    use crate::sys::windows::pipe::Pipe;
    use crate::sys::windows::security::Descriptor;

    fn unique() -> PipeName {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let moment = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
        format!("pipeway-listen-{}-{count}-{moment}", std::process::id()).parse().unwrap()
    }

    fn bind(access: Access) -> LocalListener {
        let options = ListenOptions { access, ..ListenOptions::default() };
        LocalListener::bind(&Endpoint::Pipe(unique()), &options, false, None).unwrap()
    }

    #[tokio::test]
    async fn every_instance_has_the_descriptor_that_was_asked_for() {
        for access in [Access::Owner, Access::Group("S-1-5-32-544".into())] {
            let listener = bind(access);
            assert!(listener.waiting.len() >= INSTANCES_MIN);
            for instance in &listener.waiting {
                let applied = security::read_back(instance.as_handle()).unwrap();
                assert_eq!(listener.rules.wanted.difference(&applied), None);
                assert_eq!(applied.owner.as_ref(), Some(&listener.me));
                assert_eq!(applied.dacl, listener.rules.wanted.dacl);
            }
        }
    }

    #[tokio::test]
    async fn a_client_sees_the_owner_and_the_process_of_the_server() {
        let listener = bind(Access::Owner);
        let pipe = Pipe::open(&listener.name, HalfClose::Auto, Direction::Both).unwrap();
        let server = Server::of(pipe.as_handle());
        assert_eq!(server.pid, Some(std::process::id()));
        assert_eq!(server.owner.as_ref(), Some(&listener.me));
        assert_eq!(server.user.as_ref(), Some(&listener.me));
        assert!(server.is_trusted(&listener.me));
    }

    #[tokio::test]
    async fn a_name_exists_while_it_has_an_instance_free_or_taken() {
        let name = unique();
        assert!(!pipe::exists(&name));
        let me = security::current_user().unwrap();
        let rules = security::rules(&Access::Owner, &me).unwrap();
        let _instance =
            Instance::create(&name, true, &rules.descriptor, HalfClose::Auto, None).unwrap();
        assert!(pipe::exists(&name));
        let _pipe = Pipe::open(&name, HalfClose::Auto, Direction::Both).unwrap();
        assert!(pipe::exists(&name));
    }

    #[test]
    fn a_server_of_another_owner_or_user_is_not_trusted() {
        let me = Sid::from_text("S-1-5-21-1-2-3-1001");
        let other = Sid::from_text("S-1-5-21-1-2-3-1002");
        let system = Sid::from_text(Sid::SYSTEM);
        let trusted = |owner: Option<&Sid>, user: Option<&Sid>| {
            Server { pid: Some(1), owner: owner.cloned(), user: user.cloned() }.is_trusted(&me)
        };
        assert!(trusted(Some(&me), Some(&me)));
        assert!(trusted(Some(&system), Some(&system)));
        assert!(trusted(Some(&me), None));
        assert!(!trusted(Some(&me), Some(&other)));
        assert!(!trusted(Some(&other), Some(&me)));
        assert!(!trusted(None, Some(&me)));
        assert!(!trusted(None, None));
    }

    #[tokio::test]
    #[ignore = "Wine does not enforce FILE_FLAG_FIRST_PIPE_INSTANCE"]
    async fn the_system_refuses_a_first_instance_of_a_taken_name() {
        let listener = bind(Access::Owner);
        let error = Instance::create(
            &listener.name,
            true,
            &listener.rules.descriptor,
            HalfClose::Auto,
            None,
        )
        .unwrap_err();
        assert!(is_code(&error, ERROR_ACCESS_DENIED), "{error}");
        let endpoint = listener.endpoint.clone();
        let error = create_error(&endpoint, &listener.name, &listener.me, error);
        assert_eq!(error.kind(), ErrorKind::InUse);
        assert_eq!(error.holder_pid(), Some(std::process::id()));
    }

    #[tokio::test]
    #[ignore = "Wine does not enforce access lists on opening a pipe"]
    async fn the_system_keeps_out_whom_the_access_list_does_not_name() {
        let me = security::current_user().unwrap();
        let name = unique();
        let system_only = Descriptor::from_sddl(&format!("O:{me}G:{me}D:P(A;;FA;;;SY)")).unwrap();
        let _instance = Instance::create(&name, true, &system_only, HalfClose::Auto, None).unwrap();
        let error = Pipe::open(&name, HalfClose::Auto, Direction::Both).unwrap_err();
        assert!(is_code(&error, ERROR_ACCESS_DENIED), "{error}");
        let error = taken(&Endpoint::Pipe(name.clone()), &name, &me);
        assert_eq!(error.kind(), ErrorKind::InUse);
        assert!(error.to_string().contains("does not let this user in"), "{error}");
    }

    #[tokio::test]
    #[ignore = "Wine does not enforce access lists on opening a pipe"]
    async fn the_rights_of_a_group_are_enough_to_connect_and_not_to_serve() {
        let me = security::current_user().unwrap();
        let name = unique();
        let connect_only =
            Descriptor::from_sddl(&format!("O:{me}G:{me}D:P(A;;0x12019b;;;{me})")).unwrap();
        let _instance =
            Instance::create(&name, true, &connect_only, HalfClose::Auto, None).unwrap();
        Pipe::open(&name, HalfClose::Auto, Direction::Both).unwrap();
        let error =
            Instance::create(&name, false, &connect_only, HalfClose::Auto, None).unwrap_err();
        assert!(is_code(&error, ERROR_ACCESS_DENIED), "{error}");
    }

    #[tokio::test]
    #[ignore = "Wine returns no integrity labels"]
    async fn the_integrity_label_is_kept() {
        let listener = bind(Access::Owner);
        let applied = security::read_back(listener.waiting[0].as_handle()).unwrap();
        assert_eq!(applied.label, listener.rules.wanted.label);
        assert_eq!(applied.label.len(), 1);
    }
}
