//! Word that what was prepared may be done: it is given once, or never.
//!
//! In memory only. If we die, it was never given.

use tokio::sync::watch;

/// Whoever has it gives the word. Where it is dropped, nobody ever will.
#[derive(Debug)]
pub struct Giver(watch::Sender<bool>);

/// Who waits for the word has it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clearance(watch::Receiver<bool>);

/// For something that is being prepared.
pub fn clearance() -> (Giver, Clearance) {
    let (giver, clearance) = watch::channel(false);
    (Giver(giver), Clearance(clearance))
}

impl Giver {
    /// It may be done.
    pub fn give(self) {
        self.0.send_replace(true);
    }
}

impl Clearance {
    /// Waits for it; `false` where it will never be given.
    pub async fn is_given(mut self) -> bool {
        self.0.wait_for(|given| *given).await.is_ok()
    }

    /// Waits until it is known that it will never be given.
    pub async fn is_withdrawn(self) {
        if self.is_given().await {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn it_is_given_once_or_never() {
        let (giver, clearance) = clearance();
        let mut waits = Box::pin(clearance.clone().is_given());
        assert_eq!(waits.as_mut().now_or_never(), None);
        giver.give();
        assert_eq!(waits.now_or_never(), Some(true));
        assert_eq!(clearance.clone().is_given().now_or_never(), Some(true), "it stays given");
        assert_eq!(clearance.is_withdrawn().now_or_never(), None);

        let (giver, clearance) = super::clearance();
        let mut withdrawn = Box::pin(clearance.clone().is_withdrawn());
        assert_eq!(withdrawn.as_mut().now_or_never(), None);
        drop(giver);
        assert_eq!((clearance.is_given().now_or_never(), withdrawn.now_or_never()), (Some(false), Some(())));
    }
}
