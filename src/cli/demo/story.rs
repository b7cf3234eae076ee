//! The story itself: what is sent, what comes of it, and what must have come of it.

use std::io::Write;
use std::time::Instant;

use anyhow::{Context, bail};

use super::client::{Answer, Client, Run};
use super::github::Push;
use super::probe::short;
use super::shop::{Release, Shop};
use super::teller::{Teller, Tone};

/// The release that is live at first and in the end.
pub(super) const GOOD: Release =
    Release { commit: "59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5", tax_percent: 19 };
const BAD: Release = Release { commit: "e83c5163316f89bfbde7d9ab23ca2e25604af290", tax_percent: 0 };

const GOOD_PUSH: Push = Push {
    delivery: "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    branch: "main",
    commit: GOOD.commit,
    message: "Show the price with tax",
};
const BAD_PUSH: Push = Push {
    delivery: "8c1f6b4e-1d0f-11f1-9a52-0242ac120002",
    branch: "main",
    commit: BAD.commit,
    message: "Simplify the price",
};
const BRANCH_PUSH: Push = Push {
    delivery: "9b2e7c60-1d0f-11f1-9a52-0242ac120002",
    branch: "price-in-euros",
    commit: "1a410efbd13591db07496601ebc7a059dd55cfe9",
    message: "Try other currencies",
};
const FORGED_PUSH: Push = Push {
    delivery: "deadbeef-1d0f-11f1-9a52-0242ac120002",
    branch: "main",
    commit: "ffffffffffffffffffffffffffffffffffffffff",
    message: "Trust me",
};

/// The trigger of the embedded definitions.
pub(super) const TRIGGER: &str = "smoke-on-main";
/// Those that no delivery starts.
pub(super) const ON_THE_CLOCK: &str = "on-the-clock";
pub(super) const AFTER_THE_CLOCK: &str = "after-the-clock";

/// Everything that takes part.
pub(super) struct Story<'a, W> {
    pub(super) teller: &'a mut Teller<W>,
    pub(super) client: &'a Client,
    pub(super) shop: &'a Shop,
    pub(super) secret: &'a str,
}

impl<W: Write> Story<'_, W> {
    /// Tells it from start to end. An error means that it could not go on; what came out otherwise
    /// than told is in the teller's score.
    pub(super) async fn tell(&mut self) -> anyhow::Result<()> {
        self.good_release().await?;
        self.bad_release().await?;
        self.other_branch().await?;
        self.redelivery().await?;
        self.forgery().await?;
        self.clock().await?;
        self.shop.deploy(GOOD);
        Ok(())
    }

    async fn good_release(&mut self) -> anyhow::Result<()> {
        self.teller.chapter("A good release goes live, and its push arrives")?;
        let run = self.released(GOOD, &GOOD_PUSH).await?;
        self.teller.check("the test passed", run.outcome.as_deref() == Some("Passed"))?;
        Ok(())
    }

    async fn bad_release(&mut self) -> anyhow::Result<()> {
        self.teller.chapter("A bad release goes live: somebody lost the tax")?;
        let run = self.released(BAD, &BAD_PUSH).await?;
        let failed = run.outcome.as_deref() == Some("Failed") && run.exit_code == Some(1);
        self.teller.check("the test failed, with exit code 1", failed)?;
        Ok(())
    }

    async fn other_branch(&mut self) -> anyhow::Result<()> {
        self.teller.chapter("A push to another branch")?;
        let event = self.accepted(&BRANCH_PUSH).await?;
        let decision = self.decided(&event).await?;
        let filtered = decision == "filtered" && self.client.runs(&event).await?.is_empty();
        self.teller.check("it was filtered with a reason, and nothing ran", filtered)?;
        Ok(())
    }

    async fn redelivery(&mut self) -> anyhow::Result<()> {
        self.teller.chapter("The first delivery comes once more")?;
        let answer = self.deliver(&GOOD_PUSH, self.secret).await?;
        let receipt = answer.receipt.context("the redelivery was refused")?;
        let known = answer.status == 200 && receipt.duplicate;
        let runs = self.client.runs(&receipt.event).await?;
        self.teller.line("runs", &format!("{} of this event", runs.len()))?;
        self.teller.check("it was recognised, and made no second run", known && runs.len() == 1)?;
        Ok(())
    }

    async fn forgery(&mut self) -> anyhow::Result<()> {
        self.teller.chapter("A forged delivery: the payload is right, the secret is guessed")?;
        let answer = self.deliver(&FORGED_PUSH, "hunter2").await?;
        let runs = self.client.runs(FORGED_PUSH.delivery).await?;
        let refused = answer.status == 401 && answer.receipt.is_none() && runs.is_empty();
        self.teller.check("it was refused, and nothing ran", refused)?;
        Ok(())
    }

    /// No sender at all: a slot comes, and its verdict is what the next run waits for.
    async fn clock(&mut self) -> anyhow::Result<()> {
        self.teller.chapter("A slot of a schedule comes, and its verdict starts what follows")?;
        for (trigger, check) in [
            (ON_THE_CLOCK, "the slot was a run, and it passed"),
            (AFTER_THE_CLOCK, "its verdict started the next one, which passed"),
        ] {
            let run = self.client.run_of(trigger).await?;
            self.teller.line("run", &format!("{} of {trigger}", run.id))?;
            let run = self.log(&run.id).await?;
            self.teller.check(check, run.outcome.as_deref() == Some("Passed"))?;
        }
        Ok(())
    }

    /// Tells a run's log as it comes; the run once it has ended.
    async fn log(&mut self, run: &str) -> anyhow::Result<Run> {
        let mut told = Ok(());
        let teller = &mut *self.teller;
        let line = |text: &str| told = std::mem::replace(&mut told, Ok(())).and_then(|()| teller.log(text));
        let run = self.client.follow(run, line).await?;
        told?;
        Ok(run)
    }

    /// Puts a release live, tells of its push and waits for the verdict.
    async fn released(&mut self, release: Release, push: &Push) -> anyhow::Result<Run> {
        self.shop.deploy(release);
        self.teller.line("shop", &format!("{} is live", short(release.commit)))?;
        let begun = Instant::now();
        let event = self.accepted(push).await?;
        let decision = self.decided(&event).await?;
        if decision != "fired" {
            bail!("the trigger did not fire");
        }
        let run = self.client.only_run(&event).await?;
        self.teller.line("run", &format!("{}, a process on this machine", run.id))?;
        let run = self.log(&run.id).await?;
        let took = begun.elapsed().as_millis();
        let tone = if run.outcome.as_deref() == Some("Passed") { Tone::Good } else { Tone::Bad };
        self.teller.toned("verdict", &verdict(&run, took), tone)?;
        Ok(run)
    }

    /// Sends a delivery that must be taken; the event's key.
    async fn accepted(&mut self, push: &Push) -> anyhow::Result<String> {
        let answer = self.deliver(push, self.secret).await?;
        let receipt = answer.receipt.with_context(|| format!("refused with {}", answer.status))?;
        let new = answer.status == 202 && !receipt.duplicate;
        self.teller.check("it was accepted as a new event", new)?;
        Ok(receipt.event)
    }

    async fn deliver(&mut self, push: &Push, secret: &str) -> anyhow::Result<Answer> {
        let Push { delivery, branch, commit, message } = push;
        let commit = short(commit);
        self.teller.line("github", &format!("push to {branch}: {commit} \"{message}\""))?;
        self.teller.line("", &format!("POST /hooks/github, delivery {delivery}"))?;
        let answer = self.client.deliver(push, secret).await?;
        let text = match &answer.receipt {
            Some(receipt) if receipt.duplicate => {
                format!("{}, duplicate of event {}", answer.status, receipt.event)
            }
            Some(receipt) => format!("{}, stored as event {}", answer.status, receipt.event),
            None => format!("{}, refused", answer.status),
        };
        self.teller.line("kickoff", &text)?;
        Ok(answer)
    }

    /// Tells what every trigger made of an event; the decision of the demo's own.
    async fn decided(&mut self, event: &str) -> anyhow::Result<String> {
        let decisions = self.client.decisions(event).await?;
        for decision in &decisions {
            let reason = decision.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            self.teller.line("decided", &format!("{} {}{reason}", decision.trigger, decision.verb))?;
        }
        let own = decisions.into_iter().find(|decision| decision.trigger == TRIGGER);
        Ok(own.map(|own| own.verb).unwrap_or_default())
    }
}

/// A run's end in words.
fn verdict(run: &Run, took_ms: u128) -> String {
    let outcome = run.outcome.as_deref().unwrap_or("none");
    let code = run.exit_code.map(|code| format!("exit code {code}"));
    let reason = run.reason.clone().filter(|reason| Some(reason) != code.as_ref());
    let parts = [Some(outcome.to_owned()), code, reason].into_iter().flatten();
    format!("{}; {took_ms} ms after the delivery was sent", parts.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, Fault};
    use super::*;

    /// Tells the story of a server with a fault; its text, and how many checks held of how many.
    async fn told(fault: Fault) -> (anyhow::Result<()>, (u32, u32)) {
        let (listener, address) = Shop::listen().await.unwrap();
        let fake = Fake { fault, secret: "s3cret", events: std::sync::Arc::default() };
        let client = Client::new(format!("http://{address}")).unwrap();
        let mut teller = Teller::new(Vec::new());
        let shop = Shop::new(GOOD);
        let mut story = Story { teller: &mut teller, client: &client, shop: &shop, secret: "s3cret" };
        let result = tokio::select! {
            served = fake.serve(listener) => panic!("the server ended: {served:?}"),
            result = story.tell() => result,
        };
        (result, teller.score())
    }

    #[tokio::test]
    async fn a_faithful_server_comes_out_as_told() {
        let (result, (held, all)) = told(Fault::None).await;
        result.unwrap();
        assert_eq!(held, all);
        assert_eq!(all, 10);
    }

    #[tokio::test]
    async fn every_lie_is_noticed() {
        for fault in [
            Fault::AcceptsForgeries,
            Fault::RunsDuplicates,
            Fault::ForgetsDuplicates,
            Fault::FiresOnAnyBranch,
            Fault::PassesEverything,
            Fault::ErrorsForFailures,
            Fault::FailsOnTheClock,
            Fault::FailsWhatFollows,
        ] {
            let (result, (held, all)) = told(fault).await;
            assert!(result.is_ok() && held + 1 == all, "{fault:?}: {result:?}, {held} of {all}");
        }
    }
}
