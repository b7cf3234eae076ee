//! `explain`: what a trigger makes of an event, rule by rule, and the Job. Needs no server.

pub(super) mod event;
pub(super) mod made;
mod message;
mod text;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use kickoff::app::definitions::{Loader, Origin};
use kickoff::engine::address::Allowed;
use kickoff::engine::definitions::problem::{nearest, render};
use kickoff::engine::definitions::{Snapshot, Trigger, Webhook};
use kickoff::engine::event::{Event, Ingress};
use kickoff::engine::explain::explain;
use kickoff::engine::ids::ObjectName;
use kickoff::engine::machine::{FIRING_FINISHED, MachineConfig, series};
use kickoff::engine::schedule;
use kickoff::engine::watch::{Kind, event_kind, happened_type, is_type};
use kickoff::outside::clock::Clock;
use kickoff::outside::receipt::receipt;

use super::output::{Format, colour, print, print_value, tell};
use super::{ERROR, Usage};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The trigger
    #[arg(long, value_name = "NAME")]
    trigger: String,
    /// A delivery's body, a message's, or a `CloudEvent` in JSON as `events get` gives it; - reads stdin. Without
    /// it, the next slot of the trigger's schedule
    #[arg(long, value_name = "FILE")]
    event: Option<PathBuf>,
    /// The event before in its series, for rules that ask for `changed`: as --event, with the same headers
    #[arg(long, value_name = "FILE")]
    previous: Option<PathBuf>,
    /// Its headers, one `Name: value` a line; of a message of NATS also `Nats-Subject`
    #[arg(long, value_name = "FILE")]
    headers: Option<PathBuf>,
    /// Folder of definitions
    #[arg(long, value_name = "DIR")]
    definitions: PathBuf,
    /// The webhook it came to, where the trigger listens to several
    #[arg(long, value_name = "NAME")]
    webhook: Option<String>,
    /// Namespace of the definitions
    #[arg(long, default_value = "default", value_name = "NAME")]
    namespace: String,
    /// How to write it
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Explains; exit code 0 whatever the decision. No secret is needed and no signature checked.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let origin = Origin::Folder(args.definitions.clone());
    let mut loader = Loader::new(origin, args.namespace.clone()).without_secrets();
    let read = loader.load_once().await;
    let (snapshot, sources) =
        read.with_context(|| format!("the definitions in {} can't be read", args.definitions.display()))?;
    let name = ObjectName::parse(&args.trigger, &args.namespace);
    let Some(trigger) = snapshot.trigger(&name) else {
        let about = format!("Trigger/{}", name.name);
        let mut problems = snapshot.problems.clone();
        problems.retain(|problem| problem.definition.as_deref().is_none_or(|definition| definition == about));
        if problems.is_empty() {
            return Err(unknown("trigger", &name, snapshot.trigger_positions.keys()).into());
        }
        tell(render(&problems, &sources, colour()).trim_end());
        tell(&format!("error: trigger {} can't be explained: mend its definition first", name.name));
        return Ok(ExitCode::from(ERROR));
    };
    let headers = args.headers.as_deref().map(event::headers).transpose()?;
    let given = made::Given {
        snapshot: &snapshot,
        trigger,
        webhook: args.webhook.as_deref(),
        headers: headers.as_ref(),
        delivered: headers.is_some(),
    };
    let read = |file: &Path| given.event(event::bytes(file)?.into(), receipt, Clock::System.now());
    let event = match &args.event {
        Some(file) => read(file)?,
        None => next_slot(trigger)?,
    };
    let config = offline();
    let previous = args.previous.as_deref().map(read).transpose()?;
    if let Some(previous) = &previous {
        series::before(trigger, &event, previous).map_err(|reason| Usage(format!("--previous: {reason}")))?;
    }
    let explanation = explain(trigger, &event, previous.as_ref(), &config);
    match args.output {
        Format::Table => print(&text::write(&name, &event, &explanation)?)?,
        other => print_value(&explanation, other)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The machine without a server, so also without its list of what events may choose.
pub(super) fn offline() -> MachineConfig {
    MachineConfig { gate_allow: Allowed::Unknown, ..MachineConfig::new("kickoff") }
}

/// The event that the trigger's schedule makes next.
fn next_slot(trigger: &Trigger) -> Result<Event, Usage> {
    let now = Clock::System.now();
    let slots = trigger.schedules().map(|(_, schedule)| &schedule.slots);
    let next = slots.filter_map(|slots| Some((slots.after(now)?, slots))).min_by_key(|(slot, _)| *slot);
    let (slot, slots) = next.ok_or_else(|| {
        Usage(format!("trigger {} has no schedule: give an event with --event FILE", trigger.name.name))
    })?;
    Ok(schedule::event(&trigger.name, slots, slot, None, now))
}

/// Where a `CloudEvent` came in: as it says itself or its type tells, else at the webhook that is meant.
fn ingress(
    event: &event::CloudEvent,
    snapshot: &Snapshot,
    trigger: &Trigger,
    wanted: Option<&str>,
) -> Result<Ingress, Usage> {
    let mut schedules = trigger.schedules().map(|(ingress, _)| ingress);
    let schedule = schedules.next().filter(|_| event.event_type() == schedule::SCHEDULE_DUE);
    let of_events = event.event_type() == happened_type();
    let of_cluster = !of_events && is_type(event.event_type());
    let watched =
        trigger.kubernetes().next().filter(|_| of_cluster).map(|source| watched(event, &source.kind));
    let happened = of_events.then(|| event_kind().ingress());
    match event.ingress().or(schedule).cloned().or(watched).or(happened) {
        Some(ingress) if wanted.is_none() => Ok(ingress),
        None if event.event_type() == FIRING_FINISHED => Ok(Ingress::Verdict),
        _ => Ok(Ingress::Webhook(webhook(snapshot, trigger, wanted)?.name.clone())),
    }
}

/// Where the event of an object comes in: its kind is told by the object itself, else by the trigger's source.
fn watched(event: &event::CloudEvent, source: &Kind) -> Ingress {
    let object = event.data().and_then(|data| data.get("object"));
    let told = |name: &str| object.and_then(|object| object.get(name)?.as_str()).unwrap_or_default();
    Kind::parse(told("apiVersion"), told("kind")).map_or_else(|_| source.ingress(), |kind| kind.ingress())
}

/// The webhook that the delivery came to.
fn webhook(snapshot: &Snapshot, trigger: &Trigger, wanted: Option<&str>) -> Result<Arc<Webhook>, Usage> {
    let name = if let Some(name) = wanted {
        ObjectName::parse(name, &trigger.name.namespace)
    } else {
        let mut names: Vec<&ObjectName> = trigger.webhooks().collect();
        names.sort();
        names.dedup();
        match names.as_slice() {
            [] => {
                let why = if trigger.sources.is_empty() {
                    "nothing: run it by hand"
                } else {
                    "no webhook: give a CloudEvent with --event"
                };
                return Err(Usage(format!("trigger {} listens to {why}", trigger.name.name)));
            }
            [name] => (*name).clone(),
            several => {
                let several: Vec<&str> = several.iter().map(|name| name.name.as_str()).collect();
                let message = "the trigger listens to several webhooks, say which with --webhook";
                return Err(Usage(format!("{message}: {}", several.join(", "))));
            }
        }
    };
    let found = snapshot.webhooks.get(&name).cloned();
    found.ok_or_else(|| unknown("webhook", &name, snapshot.webhooks.keys()))
}

pub(super) fn unknown<'a>(
    kind: &str,
    name: &ObjectName,
    there: impl Iterator<Item = &'a ObjectName>,
) -> Usage {
    let there: Vec<&str> = there.map(|name| name.name.as_str()).collect();
    let hint = match nearest(&name.name, there.iter().copied()) {
        Some(near) => format!(" (did you mean {near}?)"),
        None if there.is_empty() => ": there are none".to_owned(),
        None => format!(": there are {}", there.join(", ")),
    };
    Usage(format!("there is no {kind} {}{hint}", name.name))
}
