//! The one place that spawns: every task has an owner that notices its end.
//!
//! A task that ends unasked ends the process in order: a dead task behind a ready port is the worst
//! state there is.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures::future::select_all;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

/// Why a task ended.
pub type TaskError = Box<dyn Error + Send + Sync>;

/// How long one task may take to stop.
const STOP_ONE: Duration = Duration::from_secs(6);
/// How long all tasks may take to stop.
const STOP_ALL: Duration = Duration::from_secs(25);

/// Owns all tasks of the process.
#[derive(Default)]
pub struct Supervisor {
    tasks: Vec<Task>,
}

struct Task {
    name: &'static str,
    cancel: CancellationToken,
    ended: Pin<Box<dyn Future<Output = Result<(), TaskError>> + Send>>,
}

/// A task ended that nobody had asked to.
#[derive(Debug, thiserror::Error)]
#[error("the task {name} ended by itself: {why}")]
pub struct TaskEnded {
    /// Which.
    pub name: &'static str,
    /// Why, as far as it is known.
    pub why: String,
}

impl Supervisor {
    /// Starts a task. It is stopped before all that were started earlier.
    pub fn spawn<F>(&mut self, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<(), TaskError>> + Send + 'static,
    {
        let cancel = CancellationToken::new();
        #[allow(clippy::disallowed_methods, reason = "this is where tasks are spawned")]
        let handle = tokio::spawn(task(cancel.clone()));
        self.tasks.push(Task { name, cancel, ended: Box::pin(joined(handle)) });
    }

    /// Starts a task on an OS thread of its own, for work that would delay others.
    pub fn spawn_thread<F>(
        &mut self,
        name: &'static str,
        task: impl FnOnce(CancellationToken) -> F + Send + 'static,
    ) -> std::io::Result<()>
    where
        F: Future<Output = Result<(), TaskError>> + 'static,
    {
        let cancel = CancellationToken::new();
        let (ended, end) = tokio::sync::oneshot::channel();
        let runtime = tokio::runtime::Handle::current();
        let token = cancel.clone();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let result = runtime.block_on(task(token));
            // Nobody listens any more once the supervisor has given up on the thread.
            drop(ended.send(result));
        })?;
        let ended = async { end.await.unwrap_or_else(|_| Err("it panicked".into())) };
        self.tasks.push(Task { name, cancel, ended: Box::pin(ended) });
        Ok(())
    }

    /// Waits for `stop` or for a task to end by itself, then stops all in reverse order of start.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), TaskEnded> {
        let result = tokio::select! {
            () = stop => Ok(()),
            ended = first_end(&mut self.tasks) => Err(ended),
        };
        if let Err(ended) = &result {
            error!(task = ended.name, why = ended.why, "a task ended by itself, stopping");
        }
        if tokio::time::timeout(STOP_ALL, self.stop()).await.is_err() {
            warn!("not all tasks stopped in time");
        }
        result
    }

    async fn stop(&mut self) {
        while let Some(task) = self.tasks.pop() {
            task.cancel.cancel();
            match tokio::time::timeout(STOP_ONE, task.ended).await {
                Ok(Ok(())) => debug!(task = task.name, "stopped"),
                Ok(Err(error)) => warn!(task = task.name, error = %error, "stopped with an error"),
                Err(_) => warn!(task = task.name, "did not stop in time"),
            }
        }
    }
}

/// The first task that ends, taken out of the list.
async fn first_end(tasks: &mut Vec<Task>) -> TaskEnded {
    if tasks.is_empty() {
        return std::future::pending().await;
    }
    let (result, index, _) = select_all(tasks.iter_mut().map(|task| task.ended.as_mut())).await;
    let task = tasks.remove(index);
    let why = match result {
        Ok(()) => "it had nothing more to do".to_owned(),
        Err(error) => error.to_string(),
    };
    TaskEnded { name: task.name, why }
}

async fn joined(handle: JoinHandle<Result<(), TaskError>>) -> Result<(), TaskError> {
    match handle.await {
        Ok(result) => result,
        Err(panicked) => Err(panicked.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn tasks_stop_in_reverse_order() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut supervisor = Supervisor::default();
        for name in ["first", "second"] {
            let order = Arc::clone(&order);
            supervisor.spawn(name, |cancel| async move {
                cancel.cancelled().await;
                order.lock().unwrap().push(name);
                Ok(())
            });
        }
        supervisor.run(async {}).await.unwrap();
        assert_eq!(*order.lock().unwrap(), ["second", "first"]);
    }

    #[tokio::test]
    async fn a_task_that_ends_ends_all() {
        for panics in [false, true] {
            let mut supervisor = Supervisor::default();
            supervisor.spawn("idle", |cancel| async move {
                cancel.cancelled().await;
                Ok(())
            });
            supervisor.spawn("short", move |_| async move {
                assert!(!panics, "on purpose");
                Err("no more".into())
            });
            let ended = supervisor.run(std::future::pending()).await.unwrap_err();
            assert_eq!(ended.name, "short");
            assert!(ended.why.contains(if panics { "on purpose" } else { "no more" }), "{}", ended.why);
        }
    }

    #[tokio::test]
    async fn a_thread_that_panics_ends_all() {
        let mut supervisor = Supervisor::default();
        supervisor.spawn_thread("thread", |_| async { panic!("on purpose") }).unwrap();
        assert_eq!(supervisor.run(std::future::pending()).await.unwrap_err().why, "it panicked");
    }
}
