//! A thread that takes what has ended on its pipes and sockets, and runs the tasks that wait for it.
//!
//! Nothing is handed from one thread to another: who is woken by what has ended runs next, on the
//! same thread. Timers, child processes and everything else of tokio's are the runtime's that the
//! worker was made in; what they wake comes to the worker through its port.

// The system's completion ports are raw handles.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::null_mut;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use tokio::runtime::Handle as Runtime;
use windows_sys::Win32::Foundation::{INVALID_HANDLE_VALUE, NO_ERROR};
use windows_sys::Win32::System::IO::{
    CreateIoCompletionPort, GetQueuedCompletionStatus, OVERLAPPED, PostQueuedCompletionStatus,
};
use windows_sys::Win32::System::Threading::INFINITE;

use super::operation::Operation;

/// How often a task may read and write in one turn, as tokio has it.
const BUDGET: u8 = 128;

/// What a packet is about, by its key.
const OPERATION: usize = 0;
const WOKEN: usize = 1;
const QUIT: usize = 2;

/// How many packets are taken in a row while tasks wait for their turn.
const PACKETS: usize = 64;

/// The thread, for all who have something on it: it ends with the last of them.
#[derive(Debug)]
pub(crate) struct Worker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    port: OwnedHandle,
    /// Tasks that other threads have woken; none any more once the thread has ended.
    woken: Mutex<Option<Queue>>,
    /// The thread waits, or is about to, and is to be told of the next task.
    sleeps: AtomicBool,
}

type Queue = VecDeque<Arc<Task>>;

/// What belongs to a worker's thread.
#[derive(Debug)]
struct Current {
    worker: Weak<Worker>,
    shared: Arc<Shared>,
    ready: RefCell<Queue>,
    budget: Cell<u8>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Current>>> = const { RefCell::new(None) };
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Task {
    shared: Arc<Shared>,
    /// It is in one of the queues.
    queued: AtomicBool,
    /// What is to be done, and the thread that does it, until it is done.
    work: Mutex<Option<(Work, Arc<Worker>)>>,
}

impl Worker {
    /// Begins one. Timers and the like are those of the tokio runtime that this is called in.
    ///
    /// # Errors
    ///
    /// The system's, where there is no memory or no thread to be had.
    pub(in super::super) fn start() -> io::Result<Arc<Worker>> {
        // SAFETY: a call that makes a port; no file is bound to it yet.
        let port = unsafe { CreateIoCompletionPort(INVALID_HANDLE_VALUE, null_mut(), 0, 1) };
        if port.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so this is an open handle that nobody else owns.
        let port = unsafe { OwnedHandle::from_raw_handle(port) };
        let shared = Arc::new(Shared {
            port,
            woken: Mutex::new(Some(Queue::new())),
            sleeps: AtomicBool::new(false),
        });
        let worker = Arc::new(Worker { shared: Arc::clone(&shared) });
        let (own, runtime) = (Arc::downgrade(&worker), Runtime::current());
        std::thread::Builder::new().name("pipeway-io".to_owned()).spawn(move || {
            let _context = runtime.enter();
            let (ready, budget) = (RefCell::default(), Cell::new(BUDGET));
            let current = Rc::new(Current { worker: own, shared, ready, budget });
            CURRENT.set(Some(Rc::clone(&current)));
            current.run();
            current.shared.woken().take();
        })?;
        Ok(worker)
    }

    /// The worker whose thread this is.
    pub(in super::super) fn current() -> Option<Arc<Worker>> {
        Current::get().and_then(|current| current.worker.upgrade())
    }

    /// Has what ends on `file` taken by the thread, for good.
    pub(super) fn bind(&self, file: BorrowedHandle<'_>) -> io::Result<()> {
        let (file, port) = (file.as_raw_handle(), self.shared.port.as_raw_handle());
        // SAFETY: both handles are open.
        let bound = unsafe { CreateIoCompletionPort(file, port, OPERATION, 0) };
        if bound.is_null() { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Runs `work` on the thread.
    pub(crate) fn spawn(self: &Arc<Self>, work: Work) {
        let shared = Arc::clone(&self.shared);
        let work = Mutex::new(Some((work, Arc::clone(self))));
        self.shared.push(Arc::new(Task { shared, queued: AtomicBool::new(true), work }));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.post(QUIT);
    }
}

impl Shared {
    fn post(&self, key: usize) {
        // SAFETY: the port is open. Nothing is behind the packet.
        unsafe { PostQueuedCompletionStatus(self.port.as_raw_handle(), 0, key, null_mut()) };
    }

    fn woken(&self) -> MutexGuard<'_, Option<Queue>> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a task run, from any other thread.
    fn push(&self, task: Arc<Task>) {
        match &mut *self.woken() {
            Some(woken) => woken.push_back(task),
            // It is done, as all are.
            None => return,
        }
        if self.sleeps.swap(false, Ordering::SeqCst) {
            self.post(WOKEN);
        }
    }
}

impl Current {
    /// That of this thread, if it is a worker's.
    fn get() -> Option<Rc<Current>> {
        // A thread that is about to end has none any more.
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }

    /// Until the last owner is gone.
    fn run(&self) {
        loop {
            let mut turn = self.ready.take();
            if let Some(woken) = &mut *self.shared.woken() {
                turn.append(woken);
            }
            for task in turn {
                self.budget.set(BUDGET);
                task.run();
            }
            if self.ready.borrow().is_empty() {
                self.shared.sleeps.store(true, Ordering::SeqCst);
                // After that, so that no task is missed.
                let missed = self.shared.woken().as_ref().is_some_and(|woken| !woken.is_empty());
                let packet = self.take_packet(if missed { 0 } else { INFINITE });
                self.shared.sleeps.store(false, Ordering::SeqCst);
                if packet == Packet::Quit {
                    return;
                }
                continue;
            }
            for _ in 0..PACKETS {
                match self.take_packet(0) {
                    Packet::Some => {}
                    Packet::None => break,
                    // What is ready was woken after it was done.
                    Packet::Quit => return,
                }
            }
        }
    }

    /// Takes what has ended, if it comes in so many milliseconds.
    fn take_packet(&self, timeout_ms: u32) -> Packet {
        let (mut count, mut key, mut overlapped) = (0, 0, null_mut::<OVERLAPPED>());
        // SAFETY: the port is open, and the rest are valid places to write to.
        let ended = unsafe {
            GetQueuedCompletionStatus(
                self.shared.port.as_raw_handle(),
                &raw mut count,
                &raw mut key,
                &raw mut overlapped,
                timeout_ms,
            )
        };
        let error = match ended {
            0 => io::Error::last_os_error().raw_os_error().unwrap_or_default() as u32,
            _ => NO_ERROR,
        };
        if overlapped.is_null() {
            return match (ended, key) {
                (0, _) => Packet::None,
                (_, QUIT) => Packet::Quit,
                _ => Packet::Some,
            };
        }
        // SAFETY: packets with a pointer are those of what is bound to the port, on which operations
        // begin by `start` alone; one comes for each that it has not taken back.
        unsafe { Operation::complete(overlapped, error, count as usize) };
        Packet::Some
    }
}

/// What the port had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packet {
    None,
    Some,
    Quit,
}

impl Task {
    fn run(self: Arc<Self>) {
        self.queued.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&self));
        let mut slot = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((work, _)) = &mut *slot else { return };
        let mut cx = Context::from_waker(&waker);
        // As tokio does: a panic is told by the hook and ends the task alone.
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut cx)));
        if !matches!(polled, Ok(Poll::Pending)) {
            // Not woken any more.
            self.queued.store(true, Ordering::SeqCst);
            let done = slot.take();
            drop(slot);
            // What it held may panic too.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(done)));
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if self.queued.swap(true, Ordering::SeqCst) {
            return;
        }
        match Current::get() {
            Some(current) if Arc::ptr_eq(&current.shared, &self.shared) => {
                current.ready.borrow_mut().push_back(self);
            }
            _ => {
                let shared = Arc::clone(&self.shared);
                shared.push(self);
            }
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("queued", &self.queued).finish_non_exhaustive()
    }
}

/// On a worker's thread: takes what has ended by now, so that its places tell.
pub(in super::super) fn take_what_has_ended() {
    if let Some(current) = Current::get() {
        // The task that runs has the worker go on, so this is never the order to end.
        let _ = (0..PACKETS).find(|_| current.take_packet(0) == Packet::None);
    }
}

/// On a worker's thread: whether the task that runs may read or write once more in this turn. If
/// not, it is woken for the next one.
pub(in super::super) fn poll_proceed(cx: &Context<'_>) -> Poll<()> {
    let Some(current) = Current::get() else { return Poll::Ready(()) };
    match current.budget.get() {
        0 => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        left => {
            current.budget.set(left - 1);
            Poll::Ready(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU8;
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::task::yield_now;
    use tokio::time::timeout;

    use super::super::super::handles;
    use super::super::stress::LIMIT;
    use super::*;

    /// What `work` gives, which the thread runs.
    async fn on<T: Send + 'static>(
        worker: &Arc<Worker>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let (tell, told) = oneshot::channel();
        worker.spawn(Box::pin(async move {
            let _ = tell.send(work.await);
        }));
        timeout(LIMIT, told).await.expect("it hangs").expect("it ended before it was done")
    }

    #[tokio::test]
    async fn a_task_is_woken_by_the_clock_and_by_other_threads() {
        let worker = Worker::start().unwrap();
        let (tell, told) = oneshot::channel();
        let (ask, asked) = oneshot::channel();
        let other = std::thread::spawn(move || {
            asked.blocking_recv().unwrap();
            tell.send(7).unwrap();
        });
        let name = on(&worker, async move {
            let moment = Duration::from_millis(1);
            assert!(timeout(moment, std::future::pending::<()>()).await.is_err());
            ask.send(()).unwrap();
            assert_eq!(told.await, Ok(7));
            std::thread::current().name().map(str::to_owned)
        });
        assert_eq!(name.await.as_deref(), Some("pipeway-io"));
        other.join().unwrap();
        assert!(Worker::current().is_none());
        assert!(on(&worker, async { Worker::current().is_some() }).await);
    }

    #[tokio::test]
    async fn a_task_that_panics_ends_alone() {
        struct Panics;
        impl Drop for Panics {
            fn drop(&mut self) {
                panic!("a panic of this test, in a drop");
            }
        }
        let worker = Worker::start().unwrap();
        let (tell, told) = oneshot::channel::<()>();
        worker.spawn(Box::pin(async move {
            let _tell = tell;
            panic!("a panic of this test");
        }));
        assert!(timeout(LIMIT, told).await.unwrap().is_err(), "what it held is not let go");
        worker.spawn(Box::pin(async {
            let _panics = Panics;
            yield_now().await;
        }));
        assert_eq!(on(&worker, async { 1 }).await, 1);
    }

    #[tokio::test]
    async fn a_task_that_is_always_ready_lets_others_run() {
        let worker = Worker::start().unwrap();
        let turns = Arc::new(AtomicU8::new(0));
        let counted = Arc::clone(&turns);
        let (stop, mut stopped) = oneshot::channel::<()>();
        worker.spawn(Box::pin(async move {
            while stopped.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
                counted.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
            }
        }));
        while turns.load(Ordering::Relaxed) == 0 {
            yield_now().await;
        }
        on(&worker, yield_now()).await;
        stop.send(()).unwrap();
    }

    #[tokio::test]
    async fn a_turn_has_a_budget_and_the_next_one_another() {
        let worker = Worker::start().unwrap();
        let turns = on(&worker, async {
            let mut turns = Vec::new();
            for _ in 0..2 {
                let count = std::future::poll_fn(|cx| {
                    let mut count = 0;
                    while count < u16::MAX && poll_proceed(cx).is_ready() {
                        count += 1;
                    }
                    Poll::Ready(count)
                });
                turns.push(count.await);
                // It was woken, so that this ends.
                let mut again = false;
                std::future::poll_fn(|_| match std::mem::replace(&mut again, true) {
                    false => Poll::Pending,
                    true => Poll::Ready(()),
                })
                .await;
            }
            turns
        });
        assert_eq!(turns.await, [u16::from(BUDGET); 2]);
        // Elsewhere there is no end to it.
        let cx = Context::from_waker(Waker::noop());
        assert!((0..1000).all(|_| poll_proceed(&cx).is_ready()));
    }

    #[tokio::test]
    async fn the_thread_ends_with_the_last_who_has_something_on_it() {
        /// More than the runtime and the system open once, whenever they come to it.
        const WORKERS: usize = 32;
        let before = handles::count();
        for _ in 0..WORKERS {
            let worker = Worker::start().unwrap();
            let (keep, kept) = oneshot::channel();
            on(&worker, std::future::poll_fn(move |cx| Poll::Ready(cx.waker().clone())))
                .await
                .wake_by_ref();
            let waker =
                on(&worker, std::future::poll_fn(|cx| Poll::Ready(cx.waker().clone()))).await;
            let (go_on, waits) = oneshot::channel::<()>();
            worker.spawn(Box::pin(async move {
                let _ = waits.await;
                let _ = keep.send(());
            }));
            drop(worker);
            // The task has it go on.
            go_on.send(()).unwrap();
            timeout(LIMIT, kept).await.unwrap().unwrap();
            // A task that was done long ago.
            waker.wake();
        }
        let ended = async {
            while handles::count() >= before + WORKERS {
                yield_now().await;
            }
        };
        timeout(LIMIT, ended).await.expect("the threads or their ports are left");
    }
}
