//! Why a container's log is not whole, and whether it may come yet.

use crate::outside::kubernetes::api::CallError;

/// How the API server begins to say that it did not reach a node.
const OWN_WORDS: [&str; 2] = ["Get \"https://", "no preferred addresses found"];

/// Why a container's log is not whole.
#[derive(Debug, thiserror::Error)]
pub(in crate::runs::kubernetes) enum FollowError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the log broke off: {0}")]
    Broken(String),
    #[error("nothing comes any more of the log")]
    Quiet,
    #[error("the node does not answer")]
    Silent,
    #[error("the node has no more of the log: {0}")]
    Word(String),
    #[error("the node does not give the log of this start any more")]
    Past,
    #[error("the log can't be kept: {0}")]
    Spool(#[source] std::io::Error),
}

impl FollowError {
    /// Nobody could be asked.
    pub(in crate::runs::kubernetes) fn is_unasked(&self) -> bool {
        match self {
            Self::Call(error) => error.code().is_none(),
            Self::Silent => true,
            Self::Broken(_) | Self::Quiet | Self::Word(_) | Self::Past | Self::Spool(_) => false,
        }
    }

    /// Whether it may come yet. Of an earlier start most answers say that the node has it no more.
    pub(super) fn may_pass(&self, is_earlier: bool) -> bool {
        match self {
            Self::Call(error) if is_earlier => error.code().is_some() && self.speaks_for_its_node(),
            // Rights, too, may be unknown for a moment to an API server that has begun just now.
            Self::Call(error) => !matches!(error.code(), None | Some(404)),
            Self::Word(_) => !is_earlier,
            Self::Broken(_) | Self::Quiet => true,
            // All of a node's containers are waited for together.
            Self::Silent | Self::Past | Self::Spool(_) => false,
        }
    }

    /// Whether the API server did not get through to the node, or has too much to do. Where it can't be reached itself,
    /// that says nothing of nodes, and neither does what a node says of one container, as a 500 too.
    pub(in crate::runs::kubernetes) fn speaks_for_its_node(&self) -> bool {
        match self {
            Self::Silent => true,
            Self::Call(CallError::Said(status)) => match status.code {
                429 | 502..=504 => true,
                // The API server's own words: `Get "https://10.0.0.1:10250/containerLogs/..": dial tcp ..`.
                500 => OWN_WORDS.iter().any(|words| status.message.starts_with(words)),
                _ => false,
            },
            Self::Call(_) | Self::Broken(_) | Self::Quiet | Self::Word(_) | Self::Past | Self::Spool(_) => {
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn what_may_pass_is_asked_for_again() {
        let said = |code: u16, message: &str| {
            let message = message.to_owned();
            FollowError::Call(CallError::Said(Box::new(Status { code, message, ..Status::default() })))
        };
        let word = "unable to retrieve container logs for containerd://0123".to_owned();
        for (failure, now, earlier) in [
            (said(400, "container is waiting to start"), true, false),
            (said(401, ""), true, false),
            (said(403, ""), true, false),
            (said(404, "pods \"a\" not found"), false, false),
            (said(429, ""), true, true),
            (said(500, "rpc error: code = NotFound"), true, false),
            (said(500, "Get \"https://10.0.0.1:10250/containerLogs\": refused"), true, true),
            (said(502, ""), true, true),
            (FollowError::Call(CallError::TimedOut), false, false),
            (FollowError::Call(CallError::Unreachable("refused".to_owned())), false, false),
            (FollowError::Broken("reset".to_owned()), true, true),
            (FollowError::Quiet, true, true),
            (FollowError::Silent, false, false),
            (FollowError::Word(word), true, false),
            (FollowError::Past, false, false),
            (FollowError::Spool(std::io::ErrorKind::StorageFull.into()), false, false),
        ] {
            assert_eq!(
                [false, true].map(|is_earlier| failure.may_pass(is_earlier)),
                [now, earlier],
                "{failure}"
            );
        }
    }
}
