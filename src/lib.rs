//! Events in, Jobs out, verdicts back.
//!
//! # The map
//! | module | what a user would call it | may know |
//! |---|---|---|
//! | [`app`] | `serve`: configuration, supervisor, definitions loader: the only wiring | everything below |
//! | [`web`] | the URL map: hooks, API, health | sources, runs, report, store, outside, engine |
//! | [`sources`] | what makes events and appends them | store, outside, engine |
//! | [`runs`] | dispatch, launcher, gates, tracker, collector, retention; the executors | store, outside, engine |
//! | [`report`] | what takes results to others: NATS | store, outside, engine |
//! | [`store`] | inbox, records, history, blobs | outside, engine |
//! | [`outside`] | the constructors of what lies outside: clock, receipts, clients of servers | nothing |
//! | [`engine`] | pure: events, definitions, rules, rendering, the machine | nothing |
//!
//! `cli` hangs on `main.rs`. `sources`, `runs` and `report` never see each other. The test
//! `tests/house` holds these layers and the purity of `engine`.
//!
//! # The six promises
//! 1. A source is answered only after its event is durable in the inbox.
//! 2. An event's key comes from the sender's id and from where it came in: a redelivery is the same
//!    event, and nobody can pre-empt another source's ids.
//! 3. One atomic commit holds everything decided about an event. What was decided does not change when
//!    a definition is edited later.
//! 4. One event, trigger and leg give one run, and one attempt gives one Job, over any crash.
//! 5. A verdict is published at least once under an id that makes a repeat recognisable. A Job is
//!    cleaned up only after its log is settled.
//! 6. Why something fired or did not can be read for every event and trigger, also offline.

pub mod app;
pub mod engine;
pub mod outside;
pub mod report;
pub mod runs;
pub mod sources;
pub mod store;
pub mod web;
