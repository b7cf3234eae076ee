//! Nodes that don't answer for their pods' logs.
//!
//! The API server passes a request for a log on to the pod's node. Where a node does not answer, each of its
//! containers would be asked for again and again, and the API server would do little else. So one failure
//! speaks for the node: until its pause is over nobody follows there, and then one request finds out whether
//! it answers again. What a Job said is asked for at its end all the same. All of it is memory: after a restart each
//! node is thought well of again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::follow::FollowError;
use super::rest::Rest;
use crate::engine::event::Millis;

/// A node of which nobody wanted to know for so long is forgotten: it may be gone.
const FORGOTTEN_MS: Millis = 3_600_000;

/// Which nodes rest.
#[derive(Debug, Default)]
pub(super) struct Nodes(Mutex<HashMap<String, Rest>>);

impl Nodes {
    /// Whether a node may be asked, or when again. Whoever may ask one that has rested is the only one, until
    /// it is known how that went.
    pub(super) fn ask(&self, node: &str, now: Millis) -> Result<(), Millis> {
        match self.lock().get_mut(node) {
            Some(rest) if rest.until > now => Err(rest.until),
            Some(rest) => {
                rest.again(now);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether it did not answer of late.
    pub(super) fn rests(&self, node: &str) -> bool {
        self.lock().contains_key(node)
    }

    /// It answered.
    pub(super) fn answered(&self, node: &str) {
        self.lock().remove(node);
    }

    /// It did not, where the failure is one that speaks for all of the node. Those that were asked together
    /// count once.
    pub(super) fn failed(&self, node: &str, failure: &FollowError, now: Millis) {
        if !failure.speaks_for_its_node() {
            return;
        }
        let mut nodes = self.lock();
        if !nodes.contains_key(node) {
            nodes.retain(|_, rest| rest.until > now.saturating_sub(FORGOTTEN_MS));
            nodes.entry(node.to_owned()).or_default().again(now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Rest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;
    use crate::outside::kubernetes::api::CallError;

    fn said(code: u16) -> FollowError {
        words(code, "")
    }

    fn words(code: u16, message: &str) -> FollowError {
        let message = message.to_owned();
        FollowError::Call(CallError::Said(Box::new(Status { code, message, ..Status::default() })))
    }

    #[test]
    fn a_node_that_does_not_answer_is_asked_once_after_each_pause() {
        let nodes = Nodes::default();
        assert_eq!(nodes.ask("a", 0), Ok(()));
        assert_eq!(nodes.ask("a", 0), Ok(()));
        nodes.failed("a", &said(502), 0);
        nodes.failed("a", &said(502), 100);
        for (at, until) in
            [(0, 4_000), (4_000, 12_000), (12_000, 28_000), (28_000, 60_000), (60_000, 124_000)]
        {
            assert_eq!(nodes.ask("a", until - 1), Err(until), "from {at}");
            assert_eq!(nodes.ask("a", until), Ok(()));
            assert!(nodes.ask("a", until).is_err(), "one finds out for all");
            nodes.failed("a", &said(502), until + 10);
        }
        assert_eq!(nodes.ask("a", 124_001), Err(188_000), "a minute at most");
        assert_eq!(nodes.ask("b", 124_001), Ok(()), "the other node answers");
        nodes.answered("a");
        assert_eq!(nodes.ask("a", 124_002), Ok(()));
        assert!(!nodes.rests("a"));
    }

    #[test]
    fn what_one_container_says_of_itself_speaks_for_no_node() {
        let of_the_container = [
            said(400),
            said(404),
            words(500, "failed to get container status: rpc error: code = NotFound"),
            FollowError::Quiet,
            FollowError::Call(CallError::Unreachable("connection refused".to_owned())),
            FollowError::Call(CallError::TimedOut),
        ];
        let nodes = Nodes::default();
        for failure in of_the_container {
            nodes.failed("a", &failure, 0);
            assert!(!nodes.rests("a"), "{failure}");
        }
        let refused =
            "Get \"https://10.0.0.1:10250/containerLogs/a/b/main\": dial tcp 10.0.0.1:10250: refused";
        let nowhere = "no preferred addresses found; known addresses: []";
        for failure in [said(429), words(500, refused), words(500, nowhere), said(502), FollowError::Silent] {
            nodes.failed("a", &failure, 0);
            assert!(nodes.rests("a"), "{failure}");
            nodes.answered("a");
        }
    }

    #[test]
    fn a_node_that_is_gone_is_forgotten() {
        let nodes = Nodes::default();
        nodes.failed("gone", &said(502), 0);
        nodes.failed("other", &said(502), FORGOTTEN_MS + 4_000);
        assert!(!nodes.rests("gone"));
        assert!(nodes.rests("other"));
    }
}
