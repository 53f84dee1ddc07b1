//! A loop that takes what has ended, or is ready, on its pipes and sockets, and runs the tasks that
//! wait for it.
//!
//! Who is woken by what it takes runs next, on the same thread, and nothing else has to be done for
//! it. Timers, child processes and everything else of tokio's are the runtime's that the worker was
//! made in. Where the system lets it (`port`), the loop is a task of that runtime; else it has a
//! thread of its own.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};

use slab::Slab;

use super::port::{self, Port};

/// How often a task may read and write in one turn, as tokio has it.
const BUDGET: u8 = 128;

/// The loop, for all who have something on it: it ends with the last of them.
#[derive(Debug)]
pub(crate) struct Worker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    port: Port,
    /// Tasks that were woken from outside of the loop; none any more once it has ended.
    woken: Mutex<Option<Queue>>,
    /// Whether there may be any.
    has_woken: AtomicBool,
    /// The loop waits, or is about to, and is to be told of the next task.
    sleeps: AtomicBool,
    /// Nobody has anything on the loop any more.
    is_left: AtomicBool,
    /// All that are not done.
    tasks: Mutex<Slab<Arc<Task>>>,
}

type Queue = VecDeque<Arc<Task>>;

/// What a loop goes through.
#[derive(Debug)]
pub(super) struct Turns {
    shared: Arc<Shared>,
    current: Option<Current>,
    turn: Queue,
    /// [`EXPECTS_MORE`], while no thread goes through it.
    expects_more: bool,
}

/// What a thread knows while it goes through a loop.
#[derive(Debug)]
struct Current {
    worker: Weak<Worker>,
    shared: Arc<Shared>,
    ready: RefCell<Queue>,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };

    /// How often the task that runs may still read and write in its turn. Each time that it does, this
    /// is asked, so it stands by itself.
    static BUDGET_LEFT: Cell<u8> = const { Cell::new(NO_BOUND) };

    /// A task of the loop has said that more is likely to come within a moment.
    static EXPECTS_MORE: Cell<bool> = const { Cell::new(false) };
}

/// What is left of the budget outside of a loop.
const NO_BOUND: u8 = u8::MAX;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a worker runs. Dropping this leaves it running.
#[derive(Debug)]
pub(crate) struct Running(Arc<Task>);

struct Task {
    shared: Arc<Shared>,
    /// It is in one of the queues, or done.
    queued: AtomicBool,
    /// It ends with its turn.
    is_cut: AtomicBool,
    /// It has its turn, for those on the loop's thread.
    has_turn: AtomicBool,
    is_done: AtomicBool,
    state: Mutex<State>,
    /// What is waited for is that it is done.
    done: Condvar,
}

enum State {
    /// The lock is held as long as it has its turn.
    Begun(Begun),
    /// What it holds is being dropped, by that thread.
    Ending(ThreadId),
    Done,
}

struct Begun {
    work: Work,
    /// Of the task itself, which it keeps until it is done: so that no turn makes one.
    waker: Waker,
    /// Its place among those that are not done.
    key: usize,
    /// The loop goes on as long as there is somebody on it.
    _worker: Arc<Worker>,
}

impl Worker {
    pub(crate) const EXISTS: bool = true;

    /// Whether the loop is a task of the runtime's, not a thread.
    pub(crate) const IS_OF_RUNTIME: bool = port::IS_OF_RUNTIME;

    /// Begins one. Timers and the like are those of the tokio runtime that this is called in.
    ///
    /// # Errors
    ///
    /// The system's, where there is no memory or no thread to be had.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub(crate) fn start() -> io::Result<Arc<Worker>> {
        let (worker, turns) = Worker::new()?;
        port::drive(turns)?;
        Ok(worker)
    }

    /// One that nobody goes through yet.
    fn new() -> io::Result<(Arc<Worker>, Turns)> {
        let shared = Arc::new(Shared {
            port: Port::new()?,
            woken: Mutex::new(Some(Queue::new())),
            has_woken: AtomicBool::new(false),
            sleeps: AtomicBool::new(false),
            is_left: AtomicBool::new(false),
            tasks: Mutex::default(),
        });
        let worker = Arc::new(Worker { shared: Arc::clone(&shared) });
        let current = Current {
            worker: Arc::downgrade(&worker),
            shared: Arc::clone(&shared),
            ready: RefCell::default(),
        };
        let turn = Queue::new();
        let turns = Turns { shared, current: Some(current), turn, expects_more: false };
        Ok((worker, turns))
    }

    /// The worker whose task this is called from.
    pub(crate) fn current() -> Option<Arc<Worker>> {
        Current::with(|current| current.worker.upgrade()).flatten()
    }

    /// Whether this is called from a worker's task.
    pub(crate) fn is_here() -> bool {
        Current::with(|_| ()).is_some()
    }

    /// From a worker's task: more is likely to come within a moment.
    pub(crate) fn expect_more() {
        EXPECTS_MORE.set(true);
    }

    /// Where the loop waits.
    pub(super) fn port(&self) -> &Port {
        &self.shared.port
    }

    /// Runs `work` on the loop.
    pub(crate) fn spawn(self: &Arc<Self>, work: Work) -> Running {
        let mut tasks = self.shared.tasks();
        let place = tasks.vacant_entry();
        let task = Arc::new(Task {
            shared: Arc::clone(&self.shared),
            queued: AtomicBool::new(true),
            is_cut: AtomicBool::new(false),
            has_turn: AtomicBool::new(false),
            is_done: AtomicBool::new(false),
            state: Mutex::new(State::Done),
            done: Condvar::new(),
        });
        let waker = Waker::from(Arc::clone(&task));
        let begun = Begun { work, waker, key: place.key(), _worker: Arc::clone(self) };
        *task.state() = State::Begun(begun);
        place.insert(Arc::clone(&task));
        drop(tasks);
        Task::enqueue(Arc::clone(&task));
        Running(task)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.is_left.store(true, Ordering::SeqCst);
        self.shared.port.wake();
    }
}

impl Running {
    /// Ends it here and now, if it is not done: what it holds is dropped before this returns, unless
    /// it is what calls this.
    pub(crate) fn cut(&self) {
        self.0.cut();
    }

    /// Whether it is done.
    #[cfg_attr(not(feature = "link"), allow(dead_code, reason = "links ask"))]
    pub(crate) fn is_done(&self) -> bool {
        self.0.is_done.load(Ordering::Acquire)
    }
}

impl Shared {
    fn woken(&self) -> MutexGuard<'_, Option<Queue>> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks(&self) -> MutexGuard<'_, Slab<Arc<Task>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a task run, from outside of the loop.
    fn push(&self, task: Arc<Task>) {
        let mut woken = self.woken();
        let Some(queue) = &mut *woken else {
            drop(woken);
            // It ends as all have.
            return task.cut();
        };
        queue.push_back(task);
        drop(woken);
        self.has_woken.store(true, Ordering::SeqCst);
        if self.sleeps.swap(false, Ordering::SeqCst) {
            self.port.wake();
        }
    }
}

impl Current {
    /// Does something with that of this thread, if it goes through a loop.
    fn with<T>(work: impl FnOnce(&Current) -> T) -> Option<T> {
        // A thread that is about to end has none any more.
        CURRENT.try_with(|current| current.borrow().as_ref().map(work)).ok().flatten()
    }
}

impl Turns {
    /// Goes through the loop with `work`: tasks that are woken meanwhile on this thread need no lock.
    pub(super) fn within<T>(&mut self, work: impl FnOnce(&mut Inside<'_>) -> T) -> T {
        let mut inside = Inside {
            outer: CURRENT.replace(self.current.take()),
            outer_budget: BUDGET_LEFT.get(),
            outer_expects_more: EXPECTS_MORE.replace(self.expects_more),
            turns: self,
        };
        work(&mut inside)
    }
}

/// See [`Turns::within`].
pub(super) struct Inside<'a> {
    turns: &'a mut Turns,
    /// What this thread was at before.
    outer: Option<Current>,
    outer_budget: u8,
    outer_expects_more: bool,
}

/// What a turn came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// Whether any task had one.
    #[cfg_attr(windows, allow(dead_code, reason = "Linux asks"))]
    pub(super) was_any: bool,
    /// Whether some are ready for the next one.
    pub(super) is_next_ready: bool,
}

impl Inside<'_> {
    /// Where the loop waits.
    pub(super) fn port(&self) -> &Port {
        &self.turns.shared.port
    }

    /// Gives each task that is ready its turn.
    pub(super) fn turn(&mut self) -> Turn {
        let Turns { shared, turn, .. } = &mut *self.turns;
        Current::with(|current| std::mem::swap(turn, &mut current.ready.borrow_mut()));
        if shared.has_woken.load(Ordering::Relaxed)
            && shared.has_woken.swap(false, Ordering::SeqCst)
            && let Some(woken) = &mut *shared.woken()
        {
            turn.append(woken);
        }
        let was_any = !turn.is_empty();
        for task in turn.drain(..) {
            BUDGET_LEFT.set(BUDGET);
            task.run();
        }
        let is_next_ready = Current::with(|current| !current.ready.borrow().is_empty());
        Turn { was_any, is_next_ready: is_next_ready.unwrap_or(false) }
    }

    /// Whether a task has said since the last time that it expects more.
    #[cfg_attr(windows, allow(dead_code, reason = "Linux asks"))]
    pub(super) fn expects_more(&self) -> bool {
        EXPECTS_MORE.take()
    }

    /// From now on the port is told of the next task. Whether there is one already.
    pub(super) fn falls_asleep(&self) -> bool {
        self.turns.shared.sleeps.store(true, Ordering::SeqCst);
        // After that, so that no task is missed.
        self.turns.shared.has_woken.load(Ordering::SeqCst)
    }

    pub(super) fn wakes_up(&self) {
        self.turns.shared.sleeps.store(false, Ordering::SeqCst);
    }

    /// Whether the loop is to end: nobody has anything on it. What is ready was woken after it was
    /// done.
    pub(super) fn is_left(&self) -> bool {
        self.turns.shared.is_left.load(Ordering::SeqCst)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.turns.current = CURRENT.replace(self.outer.take());
        BUDGET_LEFT.set(self.outer_budget);
        self.turns.expects_more = EXPECTS_MORE.replace(self.outer_expects_more);
    }
}

/// With a runtime that ends before them, the tasks end.
impl Drop for Turns {
    fn drop(&mut self) {
        self.shared.woken().take();
        self.current = None;
        loop {
            let next = self.shared.tasks().iter().next().map(|(_, task)| Arc::clone(task));
            match next {
                Some(task) => task.cut(),
                None => break,
            }
        }
    }
}

impl Task {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        self.queued.store(false, Ordering::SeqCst);
        let mut state = self.state();
        let State::Begun(Begun { work, waker, .. }) = &mut *state else { return };
        let mut cx = Context::from_waker(waker);
        self.has_turn.store(true, Ordering::Relaxed);
        // As tokio does: a panic is told by the hook and ends the task alone.
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut cx)));
        self.has_turn.store(false, Ordering::Relaxed);
        if !matches!(polled, Ok(Poll::Pending)) || self.is_cut.load(Ordering::SeqCst) {
            self.end(state);
        }
    }

    /// See [`Running::cut`].
    fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        let is_loops = Current::with(|current| Arc::ptr_eq(&current.shared, &self.shared));
        if is_loops == Some(true) && self.has_turn.load(Ordering::Relaxed) {
            // Itself called this: it ends with this turn.
            return;
        }
        self.end(self.state());
    }

    /// Drops what it holds, or waits until another thread has.
    fn end(&self, mut state: MutexGuard<'_, State>) {
        let here = thread::current().id();
        match std::mem::replace(&mut *state, State::Ending(here)) {
            State::Begun(begun) => {
                // No lock meanwhile: what it holds may do anything, in its drop as well.
                drop(state);
                // Not woken any more.
                self.queued.store(true, Ordering::SeqCst);
                let place = self.shared.tasks().try_remove(begun.key);
                drop(place);
                // What it held may panic too.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(begun)));
                self.is_done.store(true, Ordering::Release);
                *self.state() = State::Done;
                self.done.notify_all();
            }
            other => {
                *state = other;
                let is_elsewhere =
                    |state: &mut State| matches!(state, State::Ending(by) if *by != here);
                let done = self.done.wait_while(state, is_elsewhere);
                drop(done.unwrap_or_else(PoisonError::into_inner));
            }
        }
    }

    fn enqueue(self: Arc<Self>) {
        let mut task = Some(self);
        Current::with(|current| {
            if let Some(task) = task.take_if(|task| Arc::ptr_eq(&current.shared, &task.shared)) {
                current.ready.borrow_mut().push_back(task);
            }
        });
        if let Some(task) = task {
            let shared = Arc::clone(&task.shared);
            shared.push(task);
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.enqueue();
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            Arc::clone(self).enqueue();
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("queued", &self.queued).finish_non_exhaustive()
    }
}

/// Within a loop: whether the task that runs may read or write once more in this turn. If not, it is
/// woken for the next one.
#[inline]
pub(super) fn poll_proceed(cx: &Context<'_>) -> Poll<()> {
    match BUDGET_LEFT.get() {
        NO_BOUND => Poll::Ready(()),
        0 => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        left => {
            BUDGET_LEFT.set(left - 1);
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

    use super::super::handles;
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

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
        let name = name.await;
        // A thread of its own, or this one.
        let here = std::thread::current();
        let own = if cfg!(windows) { Some("pipeway-io") } else { here.name() };
        assert_eq!(name.as_deref(), own);
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

    #[test]
    fn what_a_task_expects_is_its_loops_and_is_kept_until_it_is_asked() {
        let [(_one, mut one), (_other, mut other)] = [(); 2].map(|()| Worker::new().unwrap());
        // Said by nobody on a loop.
        Worker::expect_more();
        one.within(|inside| assert!(!inside.expects_more()));
        one.within(|_| {
            Worker::expect_more();
            other.within(|inside| assert!(!inside.expects_more()));
        });
        other.within(|inside| assert!(!inside.expects_more()));
        one.within(|inside| {
            assert!(inside.expects_more());
            assert!(!inside.expects_more());
        });
        EXPECTS_MORE.set(false);
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

    /// Says that it is gone at the very end, and takes its time until then.
    struct Slow(Arc<AtomicBool>);

    impl Drop for Slow {
        fn drop(&mut self) {
            for _ in 0..10_000 {
                thread::yield_now();
            }
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_cuts_a_task_finds_it_gone() {
        let worker = Worker::start().unwrap();
        let gone = Arc::new(AtomicBool::new(false));
        let slow = Slow(Arc::clone(&gone));
        let (tell, told) = std::sync::mpsc::channel::<Arc<Task>>();
        let (begun, begins) = oneshot::channel();
        // Cut while it has its turn.
        let Running(task) = worker.spawn(Box::pin(async move {
            let _slow = slow;
            let task = told.recv().unwrap();
            begun.send(()).unwrap();
            while !task.is_cut.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            std::future::pending::<()>().await;
        }));
        tell.send(Arc::clone(&task)).unwrap();
        timeout(LIMIT, begins).await.unwrap().unwrap();
        // By two at once.
        let cuts = [(); 2].map(|()| {
            let (running, gone) = (Running(Arc::clone(&task)), Arc::clone(&gone));
            thread::spawn(move || {
                running.cut();
                assert!(running.is_done());
                assert!(gone.load(Ordering::SeqCst), "what it held is still there");
            })
        });
        for one in cuts {
            one.join().unwrap();
        }
    }

    #[tokio::test]
    async fn what_a_task_holds_may_cut_it() {
        struct Cuts(Arc<std::sync::OnceLock<Running>>);
        impl Drop for Cuts {
            fn drop(&mut self) {
                if let Some(running) = self.0.get() {
                    running.cut();
                }
            }
        }
        let worker = Worker::start().unwrap();
        let itself = Arc::new(std::sync::OnceLock::new());
        let cuts = Cuts(Arc::clone(&itself));
        let running = worker.spawn(Box::pin(async move {
            let _cuts = cuts;
            std::future::pending::<()>().await;
        }));
        itself.set(running).unwrap();
        on(&worker, yield_now()).await;
        let cut = tokio::task::spawn_blocking(move || itself.get().unwrap().cut());
        timeout(LIMIT, cut).await.expect("it waits for itself").unwrap();
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
