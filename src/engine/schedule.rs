//! Schedules: which slots a cron pattern has in a time zone, and which of them are due.
//!
//! The pattern is that of a `CronJob`: five fields, or six with seconds in front, or seven with years behind;
//! `L`, `W`, `#` and `@daily` and friends; a restricted day of month and a restricted day of week mean either.
//! Where clocks go forward, a fixed time in the gap is the first moment after it; where they go back, a fixed
//! time comes once, the first time, and wildcards follow the time that passes. Slots are kept in UTC.
//!
//! The crate is `croner`, not `cron`: that one (0.17) skips the day of a gap, comes twice in an overlap, wants
//! both day fields to hold, begins the week with 1 and has no form of five fields. It stays as an oracle for
//! tests where both mean the same. The rules of time zones are those built into the binary, so that two
//! processes make the same slots, whatever their images hold.

mod wheel;

use std::collections::BTreeMap;
use std::str::FromStr as _;

use bytes::Bytes;
use croner::Cron;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};
use serde_json::json;

use super::event::{Attributes, Event, Ingress, Millis};
use super::ids::{ObjectName, h_hex};

pub use wheel::{Taken, Wheel};

/// Type of the event that a slot makes.
pub const SCHEDULE_DUE: &str = "dev.kickoff.schedule.due";
/// How many missed slots `Missed::All` takes up at most: the newest.
pub const MOST_MISSED: usize = 100;
/// A slot that is taken up later than this after its time counts as missed.
pub const TARDY_MS: Millis = 10_000;
/// A mark further ahead than this comes from a clock that was wrong.
pub const AHEAD_MS: Millis = 5 * 60_000;
/// Longest pattern, bytes.
const LONGEST: usize = 200;

/// What becomes of slots that came while nobody looked.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub enum Missed {
    /// The last of them runs, as a `CronJob` does it.
    #[default]
    Latest,
    /// None of them runs.
    Skip,
    /// Each of them runs, the last 100 at most.
    All,
}

/// When something comes: a pattern in a time zone.
#[derive(Debug, Clone)]
pub struct Slots {
    cron: Cron,
    zone: TimeZone,
    /// The pattern, with one space between its fields.
    pub pattern: String,
    /// Its IANA time zone.
    pub time_zone: String,
}

/// A schedule of a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// When it comes.
    pub slots: Slots,
    /// How long after its slot it fires, milliseconds: below the jitter that is asked for, and always the same.
    pub delay_ms: Millis,
    /// How late a slot may still be taken up, milliseconds.
    pub deadline_ms: Millis,
    /// What becomes of missed slots.
    pub missed: Missed,
}

/// Slots that are due.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Those that fire, ascending.
    pub slots: Vec<Millis>,
    /// Up to which slot everything is said: the mark.
    pub mark: Option<Millis>,
    /// The first slot that does not fire although it came since the last mark.
    pub passed_over: Option<Millis>,
}

/// Which part of a schedule is wrong, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// The pattern.
    Pattern(String),
    /// The time zone.
    TimeZone(String),
}

impl PartialEq for Slots {
    fn eq(&self, other: &Self) -> bool {
        (&self.pattern, &self.time_zone) == (&other.pattern, &other.time_zone)
    }
}

impl Eq for Slots {}

impl Slots {
    /// Reads a pattern and the name of a time zone. One that can never come is refused.
    pub fn parse(pattern: &str, time_zone: &str) -> Result<Self, Wrong> {
        let zone = TimeZoneDatabase::bundled().get(time_zone).map_err(|_| no_zone(time_zone))?;
        let pattern = pattern.split_whitespace().collect::<Vec<_>>().join(" ");
        let wrong = |text: String| Wrong::Pattern(text);
        if pattern.len() > LONGEST {
            return Err(wrong(format!("has {} bytes; up to {LONGEST} are allowed", pattern.len())));
        }
        if pattern.to_ascii_uppercase().contains("TZ=") {
            return Err(wrong("takes no time zone: write it as timeZone".to_owned()));
        }
        if pattern.split([' ', ',']).any(str::is_empty) && !pattern.is_empty() {
            return Err(wrong(format!("{pattern:?} has a list with nothing between two commas")));
        }
        let cron = Cron::from_str(&pattern).map_err(|error| {
            wrong(format!("{pattern:?} is no cron pattern: {error}; write for instance \"30 2 * * *\""))
        })?;
        let slots = Self { cron, zone, pattern, time_zone: time_zone.to_owned() };
        match slots.after(0) {
            Some(_) => Ok(slots),
            None => Err(wrong(format!("{:?} never comes", slots.pattern))),
        }
    }

    /// Tells these slots from others: 16 hex digits.
    pub fn hash(&self) -> String {
        h_hex("schedule", &[self.pattern.as_bytes(), self.time_zone.as_bytes()], 16)
    }

    /// The first slot after `at`, where there is one.
    pub fn after(&self, at: Millis) -> Option<Millis> {
        // Whatever the crate does at some change of the clock, a slot never comes before the one before it.
        [0, 1_000, 60_000, 3_600_000].into_iter().find_map(|ahead| {
            let from = self.local(at.checked_add(ahead)?)?;
            let next = self.cron.find_next_occurrence(&from, false).ok()?;
            Some(next.timestamp().as_millisecond()).filter(|next| *next > at)
        })
    }

    /// The next slots after `at`, up to `count`.
    pub fn next(&self, at: Millis, count: usize) -> Vec<Millis> {
        std::iter::successors(self.after(at), |slot| self.after(*slot)).take(count).collect()
    }

    /// The last slots after `after` and not after `until`, up to `count`, ascending.
    fn last(&self, after: Millis, until: Millis, count: usize) -> Vec<Millis> {
        let Some(from) = self.local(until) else { return Vec::new() };
        let newest = self.cron.find_previous_occurrence(&from, true).ok();
        let before = |slot: &Zoned| {
            let earlier = self.cron.find_previous_occurrence(slot, false).ok()?;
            Some(earlier).filter(|earlier| earlier < slot)
        };
        let slots = std::iter::successors(newest, before).map(|slot| slot.timestamp().as_millisecond());
        let mut slots: Vec<Millis> = slots.take_while(|slot| *slot > after).take(count).collect();
        slots.reverse();
        slots
    }

    /// The next five slots after `at`, as the clocks of the zone show them.
    pub fn shown_next(&self, at: Millis) -> Vec<String> {
        self.next(at, 5).into_iter().map(|slot| self.shown(slot)).collect()
    }

    /// A moment as the clocks of the zone show it, RFC 3339 with its offset.
    pub fn shown(&self, at: Millis) -> String {
        self.local(at).map_or_else(String::new, |local| local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
    }

    fn local(&self, at: Millis) -> Option<Zoned> {
        Some(Timestamp::from_millisecond(at).ok()?.to_zoned(self.zone.clone()))
    }
}

impl Schedule {
    /// When the first slot after `mark` fires, where there is one.
    pub fn fires_after(&self, mark: Millis) -> Option<Millis> {
        self.slots.after(mark)?.checked_add(self.delay_ms)
    }

    /// What is due at `now`, where everything up to `mark` is said.
    pub fn due(&self, mark: Millis, now: Millis) -> Due {
        let until = now.saturating_sub(self.delay_ms);
        let most = if self.missed == Missed::All { MOST_MISSED } else { 1 };
        let slots = self.slots.last(mark, until, most);
        let Some(last) = slots.last().copied() else { return Due::default() };
        let oldest = until.saturating_sub(match self.missed {
            Missed::Skip => TARDY_MS.min(self.deadline_ms),
            Missed::Latest | Missed::All => self.deadline_ms,
        });
        let fire: Vec<Millis> = slots.into_iter().filter(|slot| *slot >= oldest).collect();
        let first = self.slots.after(mark);
        let passed_over = first.filter(|first| fire.first().is_none_or(|fire| first < fire));
        Due { slots: fire, mark: Some(last), passed_over }
    }

    /// A mark as it counts at `now`: one that a wrong clock set ahead does not silence the schedule.
    pub fn believed(mark: Millis, now: Millis) -> Millis {
        if mark > now.saturating_add(AHEAD_MS) { now } else { mark }
    }
}

/// The event of a slot of `trigger`'s schedule, whose key follows from the slot alone. `passed_over` is the
/// first slot before it that came and does not fire.
pub fn event(
    trigger: &ObjectName,
    slots: &Slots,
    slot: Millis,
    passed_over: Option<Millis>,
    now: Millis,
) -> Event {
    let ingress = Ingress::Schedule(trigger.clone(), slots.hash());
    let source = format!("/schedules/{trigger}");
    let id = slot_id(slot);
    let data = json!({
        "cron": slots.pattern,
        "timeZone": slots.time_zone,
        "scheduledAt": id,
        "localTime": slots.shown(slot),
        "passedOverSince": passed_over.map(slot_id),
    });
    let attributes = Attributes {
        extensions: BTreeMap::from([("time".to_owned(), id.clone().into())]),
        ..Attributes::new(ingress, source, id, SCHEDULE_DUE.to_owned(), now)
    };
    Event { attributes, body: Bytes::from(data.to_string()) }
}

/// A slot as an event's id: RFC 3339 in UTC, whole seconds.
fn slot_id(slot: Millis) -> String {
    Timestamp::from_millisecond(slot).map(|slot| format!("{slot:.0}")).unwrap_or_default()
}

/// The slot of a schedule's event.
pub fn slot_of(event: &Attributes) -> Option<Millis> {
    let slot: Timestamp = event.id.parse().ok()?;
    matches!(event.ingress, Ingress::Schedule(..)).then(|| slot.as_millisecond())
}

/// A delay below `jitter_ms` that follows from who asks, so that it is the same after every start.
pub fn delay(jitter_ms: Millis, parts: &[&str]) -> Millis {
    let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    let hash = super::ids::h("jitter", &parts);
    let number = u64::from_le_bytes(hash[..8].try_into().unwrap_or_default());
    match u64::try_from(jitter_ms) {
        Ok(jitter) if jitter > 0 => Millis::try_from(number % jitter).unwrap_or(0),
        _ => 0,
    }
}

fn no_zone(name: &str) -> Wrong {
    let database = TimeZoneDatabase::bundled();
    let names: Vec<String> = database.available().map(|name| name.as_str().to_owned()).collect();
    let near = super::definitions::problem::nearest(name, names.iter().map(String::as_str));
    let hint = near.map_or_else(
        || "write for instance Europe/Berlin or UTC".to_owned(),
        |near| format!("did you mean {near}?"),
    );
    Wrong::TimeZone(format!("there is no time zone {name:?} ({hint})"))
}
