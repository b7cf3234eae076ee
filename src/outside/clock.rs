//! The time, as the system has it or as a test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Tells the time.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The system's.
    System,
    /// A test's.
    Virtual(Arc<AtomicI64>),
}

impl Clock {
    /// Milliseconds since the Unix epoch, UTC.
    pub fn now(&self) -> i64 {
        match self {
            Self::System => {
                #[allow(clippy::disallowed_methods, reason = "this is the clock")]
                let now = jiff::Timestamp::now();
                now.as_millisecond()
            }
            Self::Virtual(at) => at.load(Ordering::SeqCst),
        }
    }
}
