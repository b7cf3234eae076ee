//! Schedules: the written standard, changes of the clock, and other implementations as witnesses.

mod wheel;

use std::str::FromStr as _;

use jiff::tz::TimeZoneDatabase;
use jiff::{Timestamp, ToSpan as _};
use kickoff::engine::event::Millis;
use kickoff::engine::schedule::{Due, Missed, Schedule, Slots, Wrong, delay};
use proptest::prelude::*;

fn slots(pattern: &str, zone: &str) -> Slots {
    Slots::parse(pattern, zone).unwrap()
}

fn at(text: &str) -> Millis {
    Timestamp::from_str(text).unwrap().as_millisecond()
}

/// The next slots after `from`, as the zone's clocks show them.
fn shown(pattern: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
    let slots = slots(pattern, zone);
    slots.next(at(from), count).into_iter().map(|slot| slots.shown(slot)).collect()
}

/// OCPS 1.0: what a pattern must give from a Monday, 2024-01-01 00:00 UTC.
#[test]
fn the_written_standard_holds() {
    let first = |pattern: &str, count: usize| {
        let slots = slots(pattern, "UTC");
        let short = |slot: Millis| slots.shown(slot)[5..16].to_owned();
        slots.next(at("2024-01-01T00:00:00Z"), count).into_iter().map(short).collect::<Vec<_>>().join(" ")
    };
    for (pattern, wanted) in [
        // 4.1 fields, one or more blanks or tabs between them
        ("5 4 * * *", "01-01T04:05 01-02T04:05"),
        ("  5 \t 4  * *   * ", "01-01T04:05 01-02T04:05"),
        // 4.2 values, and names in any case
        ("0 0 * JUN *", "06-01T00:00 06-02T00:00"),
        ("0 0 * jun-Jul *", "06-01T00:00 06-02T00:00"),
        ("0 0 * * 0", "01-07T00:00 01-14T00:00"),
        ("0 0 * * 7", "01-07T00:00 01-14T00:00"),
        ("0 0 * * Sun", "01-07T00:00 01-14T00:00"),
        ("0 0 * * mon-wed", "01-02T00:00 01-03T00:00"),
        ("59 23 31 12 *", "12-31T23:59 12-31T23:59"),
        // 5 lists, ranges, steps; a step begins at the lowest of its range
        ("0,15,30,45 * * * *", "01-01T00:15 01-01T00:30"),
        ("0 9-17 * * *", "01-01T09:00 01-01T10:00"),
        ("5-59/15 * * * *", "01-01T00:05 01-01T00:20"),
        ("*/20 * * * *", "01-01T00:20 01-01T00:40"),
        ("0 0 1-10/3,20 * *", "01-04T00:00 01-07T00:00"),
        ("30-59/15,5 * * * *", "01-01T00:05 01-01T00:30"),
        // 6.1 both days restricted: either
        ("0 12 2 * MON", "01-01T12:00 01-02T12:00"),
        ("0 12 2 * WED", "01-02T12:00 01-03T12:00"),
        ("0 12 * * WED", "01-03T12:00 01-10T12:00"),
        ("0 12 9 * *", "01-09T12:00 02-09T12:00"),
        // 1.1 nicknames, 1.2 seconds and years, 1.3 L W #
        ("@daily", "01-02T00:00 01-03T00:00"),
        ("@hourly", "01-01T01:00 01-01T02:00"),
        ("@weekly", "01-07T00:00 01-14T00:00"),
        ("@monthly", "02-01T00:00 03-01T00:00"),
        ("@yearly", "01-01T00:00 01-01T00:00"),
        ("0 0 0 1 3 * 2026", "03-01T00:00"),
        ("0 0 L * *", "01-31T00:00 02-29T00:00"),
        ("0 0 13W * *", "01-12T00:00 02-13T00:00"),
        ("0 0 * * FRI#2", "01-12T00:00 02-09T00:00"),
        ("0 0 * * FRI#L", "01-26T00:00 02-23T00:00"),
        ("0 0 ? * *", "01-02T00:00 01-03T00:00"),
    ] {
        assert_eq!(first(pattern, 2), wanted, "{pattern}");
    }
    assert_eq!(shown("*/20 5 * * * *", "UTC", "2024-01-01T00:00:00Z", 2)[1], "2024-01-01T00:05:20+00:00");
}

#[test]
fn what_is_no_pattern_is_refused_with_a_reason() {
    for pattern in [
        "",
        "* * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 0 *",
        "* * * 13 *",
        "* * * * 8",
        "10-5 * * * *",
        "*/0 * * * *",
        "/30 * * * *",
        "0/15 * * * *",
        "10/10 * * * *",
        "a * * * *",
        "* * * * MOON",
        "@fortnightly",
        "1 2 3 4 5 6 7 8",
        "* * * * * * * *",
        "-1 * * * *",
        "1,,2 * * * *",
        "1- * * * *",
        "%00 * * * *",
        "\u{0} * * * *",
        "０ * * * *",
        "99999999999999999999 * * * *",
    ] {
        assert!(matches!(Slots::parse(pattern, "UTC"), Err(Wrong::Pattern(_))), "{pattern:?}");
    }
    let message = |pattern: &str, zone: &str| match Slots::parse(pattern, zone) {
        Err(Wrong::Pattern(message) | Wrong::TimeZone(message)) => message,
        Ok(_) => panic!("{pattern} is taken"),
    };
    assert_eq!(message("TZ=UTC 0 3 * * *", "UTC"), "takes no time zone: write it as timeZone");
    assert_eq!(message("0 3 30 2 *", "UTC"), "\"0 3 30 2 *\" never comes");
    assert_eq!(
        message("0 3 * * *", "Europe/Berlim"),
        "there is no time zone \"Europe/Berlim\" (did you mean Europe/Berlin?)"
    );
    assert!(message("0 3 * * *", "CEST+2").contains("Europe/Berlin or UTC"));
    assert!(message("0 3 * * *", "../../etc/passwd").starts_with("there is no time zone"));
    assert!(message(&"1,".repeat(200), "UTC").starts_with("has 400 bytes"));
}

#[test]
fn a_fixed_time_in_a_gap_comes_right_after_it_and_in_an_overlap_once() {
    let newyork = |pattern: &str, from: &str, count| shown(pattern, "America/New_York", from, count);
    assert_eq!(
        newyork("30 2 * * *", "2026-03-07T12:00:00Z", 2),
        ["2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"]
    );
    assert_eq!(
        newyork("30 1 * * *", "2026-10-31T12:00:00Z", 2),
        ["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"]
    );
    // Wildcards follow the time that passes.
    assert_eq!(
        newyork("*/30 * * * *", "2026-11-01T05:00:00Z", 4),
        [
            "2026-11-01T01:30:00-04:00",
            "2026-11-01T01:00:00-05:00",
            "2026-11-01T01:30:00-05:00",
            "2026-11-01T02:00:00-05:00"
        ]
    );
    assert_eq!(
        newyork("0 * * * *", "2026-03-08T06:00:00Z", 2),
        ["2026-03-08T03:00:00-04:00", "2026-03-08T04:00:00-04:00"]
    );
    // Half an hour on Lord Howe; midnight in Sao Paulo, as it was; none in Kolkata.
    assert_eq!(
        shown("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2),
        ["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"]
    );
    assert_eq!(
        shown("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", 2),
        ["2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"]
    );
    assert_eq!(shown("30 2 * * *", "Asia/Kolkata", "2026-03-07T12:00:00Z", 1), ["2026-03-08T02:30:00+05:30"]);
}

const ZONES: [&str; 7] = [
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "America/Sao_Paulo",
    "UTC",
    "Africa/Casablanca",
];

/// For fixed times of day, an oracle that asks only the time zone: each day once, at the first moment at or
/// after the wanted time of its clocks.
#[test]
fn over_years_each_day_has_its_slot_once() {
    for zone in ZONES {
        let tz = TimeZoneDatabase::bundled().get(zone).unwrap();
        for (hour, minute) in [(0, 0), (1, 30), (2, 0), (2, 15), (2, 30), (3, 0), (12, 0), (23, 59)] {
            let mut seen = at("2016-01-01T00:00:00Z");
            let slots = slots(&format!("{minute} {hour} * * *"), zone);
            let mut day = Timestamp::from_millisecond(seen).unwrap().to_zoned(tz.clone()).date();
            while day.year() < 2028 {
                let wanted = day.at(hour, minute, 0, 0);
                // In a gap the clocks show the moment after it; in an overlap the first of two counts.
                let ambiguous = tz.to_ambiguous_timestamp(wanted);
                let slot = match ambiguous.offset() {
                    jiff::tz::AmbiguousOffset::Gap { before, .. } => {
                        let close = before.to_timestamp(wanted).unwrap();
                        tz.preceding(close + 1.second()).next().unwrap().timestamp()
                    }
                    _ => ambiguous.earlier().unwrap(),
                };
                let slot = slot.as_millisecond();
                if slot > seen {
                    assert_eq!(slots.after(seen), Some(slot), "{zone} {hour}:{minute} on {day}");
                    assert_eq!(slots.after(slot - 1), Some(slot), "{zone} {hour}:{minute} on {day}");
                    seen = slot;
                }
                day = day.checked_add(1.day()).unwrap();
            }
        }
    }
}

const PATTERNS: [&str; 12] = [
    "*/7 * * * *",
    "0 */2 * * *",
    "*/30 * * * *",
    "15,45 1-3 * * *",
    "30 2 * * *",
    "0 0 * * *",
    "0 3 L * *",
    "30 1 * * SUN",
    "0 2 1,15 * FRI",
    "59 59 23 * * *",
    "10 0 2 * * *",
    "0 12 * * MON#1",
];

/// Whatever moments it is looked at, each slot is due once: none is lost, none comes twice, none goes back.
#[test]
fn over_changes_of_the_clock_each_slot_is_due_once() {
    for (seed, zone) in (1_u64..).zip(ZONES) {
        let mut random = fastrand::Rng::with_seed(seed);
        for pattern in PATTERNS {
            let slots = slots(pattern, zone);
            let schedule = Schedule {
                slots: slots.clone(),
                delay_ms: 0,
                deadline_ms: i64::MAX / 4,
                missed: Missed::All,
            };
            // Around each change of a year's clocks; all of a year where slots are few.
            for year in [2018, 2026] {
                let begin = at(&format!("{year}-01-01T00:00:00Z"));
                let end = at(&format!("{}-01-01T00:00:00Z", year + 1));
                let (mut mark, mut now, mut due) = (begin, begin, Vec::new());
                while now < end {
                    // Never so long that more than 100 can be missed.
                    now += random.i64(1..=11 * 3_600_000);
                    let Due { slots, mark: said, passed_over } = schedule.due(mark, now);
                    assert_eq!(passed_over, None, "{pattern} in {zone} at {now}");
                    due.extend(slots);
                    mark = said.unwrap_or(mark);
                }
                let forward: Vec<Millis> =
                    std::iter::successors(slots.after(begin), |slot| slots.after(*slot))
                        .take_while(|slot| *slot <= now)
                        .collect();
                assert!(forward.is_sorted_by(|one, other| one < other), "{pattern} in {zone}");
                assert_eq!(due, forward, "{pattern} in {zone}, {year}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// The crate `cron` means the same where one day field is free, days of the week have names, and no
    /// clock changes.
    #[test]
    fn the_crate_cron_agrees_where_it_means_the_same(
        second in field(0, 59), minute in field(0, 59), hour in field(0, 23), day in field(1, 31), month in field(1, 12),
        weekdays in prop::option::of(prop::sample::subsequence(vec!["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"], 1..4)),
        from in 0_i64..4_000_000_000,
    ) {
        let (day, weekdays) = match weekdays {
            Some(names) => ("*".to_owned(), names.join(",")),
            None => (day, "*".to_owned()),
        };
        let pattern = format!("{second} {minute} {hour} {day} {month} {weekdays}");
        let theirs = cron::Schedule::from_str(&pattern).unwrap();
        let start = chrono::DateTime::from_timestamp(from, 0).unwrap();
        let theirs: Vec<Millis> = theirs.after(&start).take(5).map(|slot| slot.timestamp_millis()).collect();
        match Slots::parse(&pattern, "UTC") {
            Ok(slots) => {
                let ours = slots.next(from * 1_000, 5);
                // Theirs ends with the year 2100.
                prop_assert_eq!(&ours[..theirs.len()], &theirs[..], "{}", pattern);
            }
            Err(_) => prop_assert!(theirs.is_empty(), "{} is refused", pattern),
        }
    }
}

fn field(low: u32, high: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("*".to_owned()),
        2 => (low..=high).prop_map(|value| value.to_string()),
        1 => (1..=high / 2).prop_map(|step| format!("*/{step}")),
        1 => (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => prop::collection::btree_set(low..=high, 2..5)
            .prop_map(|values| values.iter().map(u32::to_string).collect::<Vec<_>>().join(",")),
    ]
}

#[test]
fn each_policy_of_missed_slots_does_what_it_says() {
    let due = |missed, deadline_ms, mark: &str, now: &str| {
        let schedule = Schedule { slots: slots("0 * * * *", "UTC"), delay_ms: 0, deadline_ms, missed };
        let Due { slots, mark, passed_over } = schedule.due(at(mark), at(now));
        let hour = |slot: Millis| schedule.slots.shown(slot)[11..13].parse::<u32>().unwrap();
        (slots.into_iter().map(hour).collect::<Vec<_>>(), mark.map(hour), passed_over.map(hour))
    };
    let day = 24 * 3_600_000;
    let (from, now) = ("2026-05-04T06:00:00Z", "2026-05-04T10:30:00Z");
    assert_eq!(due(Missed::Latest, day, from, now), (vec![10], Some(10), Some(7)));
    assert_eq!(due(Missed::All, day, from, now), (vec![7, 8, 9, 10], Some(10), None));
    assert_eq!(due(Missed::Skip, day, from, now), (vec![], Some(10), Some(7)));
    // Past the deadline nothing fires, and it is said.
    assert_eq!(due(Missed::Latest, 60_000, from, now), (vec![], Some(10), Some(7)));
    assert_eq!(due(Missed::All, 2 * 3_600_000, from, now), (vec![9, 10], Some(10), Some(7)));
    // On time, all are the same.
    for missed in [Missed::Latest, Missed::All, Missed::Skip] {
        assert_eq!(
            due(missed, day, "2026-05-04T09:00:00Z", "2026-05-04T10:00:00.004Z"),
            (vec![10], Some(10), None)
        );
        assert_eq!(
            due(missed, day, "2026-05-04T10:00:00Z", "2026-05-04T10:00:00.004Z"),
            (vec![], None, None)
        );
    }
    let every_second =
        Schedule { slots: slots("* * * * * *", "UTC"), delay_ms: 0, deadline_ms: day, missed: Missed::All };
    let many = every_second.due(at(from), at(now));
    assert_eq!((many.slots.len(), many.slots[99]), (100, at(now)), "the newest hundred");
    assert_eq!(many.passed_over, Some(at(from) + 1_000));
}

#[test]
fn a_delay_is_below_the_jitter_and_stays_the_same() {
    let delays: Vec<Millis> =
        (0..200).map(|number| delay(60_000, &["schedule", &number.to_string()])).collect();
    assert!(delays.iter().all(|delay| (0..60_000).contains(delay)));
    assert!(delays.iter().filter(|delay| **delay < 30_000).count().abs_diff(100) < 40, "spread: {delays:?}");
    assert_eq!(delay(60_000, &["schedule", "7"]), delays[7]);
    assert_eq!(delay(0, &["schedule", "7"]), 0);
}
