//! Messages at a rate while kickoff is killed again and again, and the server too: each has exactly one run.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream;
use tokio::time::{Instant, interval, sleep};

use super::results::{Published, complete, start, stored};
use super::{hears, home, serve};
use crate::support::bus::Bus;
use crate::support::{Server, client};

struct Length {
    messages: usize,
    kills: usize,
    of_the_bus: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_has_one_run_whoever_is_killed() {
    let soak = std::env::var_os("KICKOFF_SOAK").is_some();
    let length = if soak {
        Length { messages: 20_000, kills: 20, of_the_bus: 2 }
    } else {
        Length { messages: 1_000, kills: 4, of_the_bus: 1 }
    };
    let mut bus = Bus::start();
    bus.stream("ORDERS", &["orders.>"]).await;
    let jetstream = bus.stream("RESULTS", &["kickoff.>"]).await;
    let home = home(&[("t", "{nats: {subject: orders.>, stream: ORDERS}}")]);
    let mut publisher = tokio::task::JoinSet::new();
    publisher.spawn(publish(bus.url(), length.messages));
    let mut server = serve(&home, &bus);
    let pause = Duration::from_millis(if soak { 900 } else { 400 });
    for kill in 1..=length.kills {
        sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        server.kill();
        if kill % (length.kills / (length.of_the_bus + 1) + 1) == 0 {
            bus.kill();
            sleep(Duration::from_millis(300)).await;
            bus.up();
        }
        server = serve(&home, &bus);
    }
    publisher.join_all().await;
    let begun = Instant::now();
    finished(&server, length.messages).await;
    eprintln!("the rest took {:?}", begun.elapsed());
    let text = std::fs::read_to_string(home.path().join("tally")).unwrap();
    let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
    for line in text.lines() {
        *seen.entry(line.parse().unwrap()).or_default() += 1;
    }
    let twice: Vec<_> = seen.iter().filter(|(_, times)| **times != 1).collect();
    let missing: Vec<usize> = (0..length.messages).filter(|n| !seen.contains_key(n)).collect();
    assert!(twice.is_empty() && missing.is_empty(), "twice: {twice:?}, missing: {missing:?}");
    let begun = Instant::now();
    let results = published(&server, &jetstream, length.messages).await;
    complete(&results, &server.all_runs().await);
    eprintln!("{} results, the last of them after another {:?}", results.len(), begun.elapsed());
}

/// All results, once the verdicts of so many firings are among them.
async fn published(server: &Server, jetstream: &jetstream::Context, firings: usize) -> Vec<Published> {
    let end = Instant::now() + Duration::from_mins(15);
    loop {
        let waiting = waiting_results(server).await;
        if waiting == 0 {
            let all = stored(jetstream, "RESULTS").await;
            let verdicts = all.iter().filter(|it| it.subject().starts_with("kickoff.verdicts.")).count();
            if verdicts >= firings {
                return all;
            }
        }
        assert!(Instant::now() < end, "{waiting} results wait\n{}", server.said());
        sleep(Duration::from_millis(500)).await;
    }
}

async fn waiting_results(server: &Server) -> u64 {
    let text = client().get(format!("{}/metrics", server.url)).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("kickoff_results{state=\"waiting\"} "));
    line.unwrap_or_else(|| panic!("no such metric: {text}")).parse().unwrap()
}

/// Results wait for a bus that is away, and all go out when it is back; there is one line a minute about it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_the_bus_is_away() {
    let soak = std::env::var_os("KICKOFF_SOAK").is_some();
    let (away, pause) = if soak { (600, 1_000) } else { (5, 250) };
    let mut bus = Bus::start();
    let jetstream = bus.stream("RESULTS", &["kickoff.>"]).await;
    bus.stream("ORDERS", &["orders.>"]).await;
    let home = home(&[("t", "{nats: {subject: orders.>, stream: ORDERS}}")]);
    let server = serve(&home, &bus);
    hears(&server).await;
    bus.kill();
    let (begun, mut runs) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(away) {
        start(&server, &format!("away-{runs}")).await;
        runs += 1;
        sleep(Duration::from_millis(pause)).await;
    }
    let ended = server.all_runs().await.iter().filter(|run| run["outcome"] == "Passed").count();
    assert!(ended + 3 >= runs, "{ended} of {runs} runs ended without the bus");
    bus.up();
    finished(&server, runs).await;
    complete(&published(&server, &jetstream, runs).await, &server.all_runs().await);
    hears(&server).await;
    let said = server.said();
    let about = |line: &&str| line.contains("results wait") || line.contains("NATS") || line.contains("nats");
    let lines: Vec<&str> = said.lines().filter(about).collect();
    // One a minute; of a short while a few, that it goes and that it is back.
    let most = (usize::try_from(away).unwrap() / 60).max(6);
    assert!(lines.len() <= most, "{lines:#?}");
    eprintln!("{runs} runs in {away} s without the bus, {} lines about it", lines.len());
}

/// 1,000 a second, each confirmed by the server, under ids that make a repeat recognisable.
async fn publish(url: String, messages: usize) {
    let options =
        async_nats::ConnectOptions::new().retry_on_initial_connect().ping_interval(Duration::from_secs(1));
    let jetstream = jetstream::new(options.connect(url).await.unwrap());
    let mut ticks = interval(Duration::from_millis(20));
    let mut waiting: Vec<usize> = Vec::new();
    let mut next = 0;
    while next < messages || !waiting.is_empty() {
        ticks.tick().await;
        let fresh = next..(next + 20).min(messages);
        next = fresh.end;
        let batch: Vec<usize> = waiting.drain(..).chain(fresh).collect();
        let sent = batch.iter().map(|n| {
            let jetstream = &jetstream;
            async move {
                let mut headers = async_nats::HeaderMap::new();
                headers.insert("Nats-Msg-Id", n.to_string());
                let body = format!("{{\"n\": {n}}}");
                let sent = jetstream.publish_with_headers(format!("orders.{n}"), headers, body.into()).await;
                let confirmed = match sent {
                    Ok(confirmed) => {
                        tokio::time::timeout(Duration::from_secs(2), confirmed.into_future()).await
                    }
                    Err(_) => return Some(*n),
                };
                (!matches!(confirmed, Ok(Ok(_)))).then_some(*n)
            }
        });
        waiting = futures::future::join_all(sent).await.into_iter().flatten().collect();
    }
}

/// Waits until so many runs are over, which may be long.
async fn finished(server: &Server, messages: usize) {
    let end = Instant::now() + Duration::from_mins(15);
    loop {
        let done = server.all_runs().await.iter().filter(|run| run["outcome"] == "Passed").count();
        if done >= messages {
            return;
        }
        assert!(Instant::now() < end, "{done} of {messages} runs are over\n{}", server.said());
        sleep(Duration::from_millis(500)).await;
    }
}
