//! The demo's test, run by the local executor as a process of its own: `kickoff demo-probe`.
//!
//! It asks the shop over HTTP and prints one line for each check, in the manner of TAP. Exit code 0:
//! all held; 1: the test said no; 3: it could not find out.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

/// What a net price of 10.00 must come to with 19 % tax, in cents.
const GROSS_OF_1000: u64 = 1190;

/// Arguments of the hidden verb `demo-probe`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ProbeArgs {
    /// Where the shop is.
    #[arg(long)]
    url: String,
    /// The commit that should be live; empty: any will do.
    #[arg(long, default_value = "")]
    commit: String,
}

/// Tests the shop.
pub(crate) async fn run(args: ProbeArgs) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    let held = probe(&args, &mut out).await?;
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

async fn probe(args: &ProbeArgs, out: &mut impl Write) -> anyhow::Result<bool> {
    let http = super::client::http(Duration::from_secs(5))?;
    let get = async |path: &str| http.get(format!("{}{path}", args.url)).send().await;
    let mut report = Report { out, checks: 0, failed: 0 };

    let health = get("/healthz").await?.status();
    report.check("the shop is healthy", &200, &health.as_u16())?;

    let version: Value = get("/version").await?.json().await?;
    let live = version["commit"].as_str().unwrap_or_default();
    let wanted = if args.commit.is_empty() { live } else { &args.commit };
    report.check("the release that was pushed is live", &short(wanted), &short(live))?;

    let price: Value = get("/price?net=1000").await?.json().await?;
    let gross = price["gross"].as_u64().unwrap_or_default();
    report.check("10.00 net is 11.90 with tax", &GROSS_OF_1000, &gross)?;

    report.end()
}

/// The first digits of a commit, as forges show it.
pub(super) fn short(commit: &str) -> String {
    commit.chars().take(7).collect()
}

struct Report<W> {
    out: W,
    checks: u32,
    failed: u32,
}

impl<W: Write> Report<W> {
    fn check<T: PartialEq + std::fmt::Display>(
        &mut self,
        what: &str,
        wanted: &T,
        saw: &T,
    ) -> std::io::Result<()> {
        self.checks += 1;
        let number = self.checks;
        if wanted == saw {
            return writeln!(self.out, "ok {number} - {what}");
        }
        self.failed += 1;
        writeln!(self.out, "not ok {number} - {what}: wanted {wanted}, got {saw}")
    }

    fn end(mut self) -> anyhow::Result<bool> {
        writeln!(self.out, "{} of {} checks failed", self.failed, self.checks)?;
        Ok(self.failed == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::shop::{Release, Shop};
    use super::*;

    const COMMIT: &str = "59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5";

    async fn probed(tax_percent: u64, commit: &str) -> (bool, String) {
        let (listener, address) = Shop::listen().await.unwrap();
        let shop = Shop::new(Release { commit: COMMIT, tax_percent });
        let args = ProbeArgs { url: format!("http://{address}"), commit: commit.to_owned() };
        let mut out = Vec::new();
        let held = tokio::select! {
            served = shop.serve(listener) => panic!("the shop ended: {served:?}"),
            held = probe(&args, &mut out) => held.unwrap(),
        };
        (held, String::from_utf8(out).unwrap())
    }

    #[tokio::test]
    async fn a_good_release_passes_and_a_bad_one_fails() {
        let cases = [
            (19, COMMIT, true, "ok 3 - 10.00 net"),
            (19, "", true, "ok 2 - the release"),
            (0, COMMIT, false, "not ok 3 - 10.00 net is 11.90 with tax: wanted 1190, got 1000"),
            (
                19,
                "c0ffee0aaaa",
                false,
                "not ok 2 - the release that was pushed is live: wanted c0ffee0, got 59b20b8",
            ),
        ];
        for (tax_percent, commit, held, line) in cases {
            let (got, log) = probed(tax_percent, commit).await;
            assert_eq!(got, held, "{log}");
            assert!(log.contains(line), "{log}");
        }
    }

    #[tokio::test]
    async fn a_shop_that_is_away_is_an_error_and_no_verdict() {
        let (listener, address) = Shop::listen().await.unwrap();
        drop(listener);
        let args = ProbeArgs { url: format!("http://{address}"), commit: String::new() };
        assert!(probe(&args, &mut Vec::new()).await.is_err());
    }
}
