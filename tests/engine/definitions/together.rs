//! What triggers must agree on is told of one that has other problems too, and takes no good one out of force.

use super::hidden::{all, document};
use super::{TEMPLATE, TRIGGER, WEBHOOK, snapshot};

/// What is told of all triggers beside a good one and its template, and which are in force.
fn beside(triggers: &[(&str, &str)]) -> String {
    let more: String = triggers.iter().map(|(name, spec)| document("Trigger", name, spec)).collect();
    let text = format!("{WEBHOOK}---{TEMPLATE}---\n{more}");
    let snapshot = snapshot(&[("a.yaml", &text)], None);
    let names: Vec<&str> = snapshot.triggers.iter().map(|trigger| &*trigger.name.name).collect();
    format!("{}\nin force: {}", all(&text), names.join(", "))
}

#[test]
fn a_circle_over_a_trigger_with_other_problems_is_told_there() {
    let good = "
  sources: [{verdict: {triggers: [bad]}}]
  runs: [{template: smoke, environment: staging}]
";
    insta::assert_snapshot!(beside(&[("good", good), ("bad", "
  sources: [{verdict: {triggers: [good]}}]
  runs: [{template: smok}]
")]), @r#"
        Trigger/bad spec.sources[0].verdict.triggers[0]: the verdicts go in a circle: bad -> good -> bad
        Trigger/bad spec.runs[0].template: there is no JobTemplate called "smok"
        in force: good
        "#);
    // Also where something of it could not be read, but not of what could not.
    insta::assert_snapshot!(beside(&[("good", good), ("bad", "
  sources: [{verdict: {triggers: [good], all: 5}}, {verdict: {triggers: [bad, 5]}}]
  runs: [{template: smoke, environment: staging}]
  nothing: 1
")]), @r"
        Trigger/bad spec.sources[0].verdict.triggers[0]: the verdicts go in a circle: bad -> good -> bad
        Trigger/bad spec.sources[0].verdict.all: must be a list, is 5
        Trigger/bad spec.sources[1].verdict.triggers[0]: the verdicts go in a circle: bad -> bad
        Trigger/bad spec.sources[1].verdict.triggers[1]: must be a text, is 5: put it in quotes
        Trigger/bad spec.nothing: unknown field; the fields here are gate, git, match, policy, runs, series, sources, suspend
        in force: good
        ");
    // And where both have other problems.
    let other = "\n  sources: [{verdict: {triggers: [bad]}}]\n  runs: [{template: smok}]\n";
    let bad = "\n  sources: [{verdict: {triggers: [other]}}]\n  runs: [{template: smok}]\n";
    insta::assert_snapshot!(beside(&[("other", other), ("bad", bad)]), @r#"
        Trigger/other spec.sources[0].verdict.triggers[0]: the verdicts go in a circle: other -> bad -> other
        Trigger/other spec.runs[0].template: there is no JobTemplate called "smok"
        Trigger/bad spec.sources[0].verdict.triggers[0]: the verdicts go in a circle: bad -> other -> bad
        Trigger/bad spec.runs[0].template: there is no JobTemplate called "smok"
        in force:
        "#);
}

#[test]
fn the_limit_of_a_group_is_compared_with_that_of_a_trigger_with_other_problems() {
    let with = |limit: &str, template: &str| {
        format!(
            "\n  policy: {{concurrency: {{group: db, limit: {limit}}}}}\n  runs: [{{template: {template}, environment: staging}}]\n"
        )
    };
    let (one, bad, other) = (with("1", "smoke"), with("2", "smok"), with("3", "smok"));
    insta::assert_snapshot!(beside(&[("one", &one), ("bad", &bad), ("other", &other)]), @r#"
        Trigger/bad spec.policy.concurrency.limit: the group default/db has the limit 2 here and 1 in Trigger/one at a.yaml:21:44: they must agree
        Trigger/bad spec.runs[0].template: there is no JobTemplate called "smok"
        Trigger/other spec.policy.concurrency.limit: the group default/db has the limit 3 here and 1 in Trigger/one at a.yaml:21:44: they must agree
        Trigger/other spec.runs[0].template: there is no JobTemplate called "smok"
        in force: one
        "#);
    let unread = with("x", "smoke");
    insta::assert_snapshot!(beside(&[("one", &one), ("unread", &unread)]), @r#"
        Trigger/unread spec.policy.concurrency.limit: must be a whole number, is "x"
        in force: one
        "#);
}

#[test]
fn a_kind_is_watched_in_one_version_also_by_a_trigger_with_other_problems() {
    let with = |version: &str, template: &str| {
        format!(
            "\n  sources: [{{kubernetes: {{apiVersion: example.com/{version}, kind: Widget, change: [Created]}}}}]\n  \
             runs: [{{template: {template}, environment: staging}}]\n"
        )
    };
    let (bad, good) = (with("v1", "smok"), with("v2", "smoke"));
    insta::assert_snapshot!(beside(&[("a-bad", &bad), ("good", &good)]), @r#"
        Trigger/a-bad spec.sources: Widgets are watched in one version, and trigger good says example.com/v2
        Trigger/a-bad spec.runs[0].template: there is no JobTemplate called "smok"
        in force: good
        "#);
}

/// Whatever takes a trigger out of force.
#[test]
fn what_one_comparison_takes_out_the_others_look_at_too() {
    let circle = |of: &str, limit: u32| {
        format!(
            "\n  sources: [{{verdict: {{triggers: [{of}]}}}}]\n  policy: {{concurrency: {{group: db, limit: {limit}}}}}\n  \
             runs: [{{template: smoke, environment: staging}}]\n"
        )
    };
    let (one, two, three) = (circle("three", 1), circle("one", 2), circle("two", 1));
    insta::assert_snapshot!(beside(&[("one", &one), ("two", &two), ("three", &three)]), @r"
        Trigger/one spec.sources[0].verdict.triggers[0]: the verdicts go in a circle: one -> two -> three -> one
        Trigger/one spec.policy.concurrency.limit: the group default/db has the limit 1 here and 2 in Trigger/two at a.yaml:30:44: they must agree
        Trigger/two spec.sources[0].verdict.triggers[0]: the verdicts go in a circle: two -> three -> one -> two
        Trigger/two spec.policy.concurrency.limit: the group default/db has the limit 2 here and 1 in Trigger/one at a.yaml:22:44: they must agree
        Trigger/three spec.sources[0].verdict.triggers[0]: the verdicts go in a circle: three -> one -> two -> three
        Trigger/three spec.policy.concurrency.limit: the group default/db has the limit 1 here and 2 in Trigger/two at a.yaml:30:44: they must agree
        in force:
        ");
    let watching = |version: &str, of: &str| {
        format!(
            "\n  sources: [{{kubernetes: {{apiVersion: example.com/{version}, kind: Widget, change: [Created]}}}}, {{verdict: {{triggers: [{of}]}}}}]\n  \
             runs: [{{template: smoke, environment: staging}}]\n"
        )
    };
    let (one, two) = (watching("v1", "two"), watching("v2", "one"));
    insta::assert_snapshot!(beside(&[("one", &one), ("two", &two)]), @r"
        Trigger/two spec.sources: Widgets are watched in one version, and trigger one says example.com/v1
        Trigger/two spec.sources[1].verdict.triggers[0]: the verdicts go in a circle: two -> one -> two
        in force: one
        ");
}

/// Also where the clause itself has another mistake.
#[test]
fn a_clause_with_another_mistake_is_compared() {
    let with = |concurrency: &str| {
        format!(
            "\n  policy: {{concurrency: {{group: db, {concurrency}}}}}\n  runs: [{{template: smoke, environment: staging}}]\n"
        )
    };
    let (one, bad) = (with("limit: 1"), with("limit: 2, maxWait: 0s, key: '{{ evnt.x }}'"));
    insta::assert_snapshot!(beside(&[("one", &one), ("bad", &bad)]), @r"
        Trigger/bad spec.policy.concurrency.limit: the group default/db has the limit 2 here and 1 in Trigger/one at a.yaml:21:44: they must agree
        Trigger/bad spec.policy.concurrency.maxWait: must be more than 0s
        Trigger/bad spec.policy.concurrency.key: {{ evnt.x }} speaks of evnt; there are event, git, trigger (did you mean event?)
        in force: one
        ");
    let with = |version: &str, names: &str| {
        format!(
            "\n  sources: [{{kubernetes: {{apiVersion: example.com/{version}, kind: Widget, change: [Created], names: ['{names}']}}}}]\n  \
             runs: [{{template: smoke, environment: staging}}]\n"
        )
    };
    let (one, bad) = (with("v1", "a"), with("v2", "["));
    insta::assert_snapshot!(beside(&[("one", &one), ("bad", &bad)]), @r"
        Trigger/bad spec.sources: Widgets are watched in one version, and trigger one says example.com/v1
        Trigger/bad spec.sources[0].kubernetes.names[0]: is not a glob: unclosed character class; missing ']'
        in force: one
        ");
    insta::assert_snapshot!(beside(&[("bad", "
  sources:
    - schedule: {cron: 0 * * * *}
    - schedule: {cron: 0 * * * *, jitter: 48h}
    - nats: {subject: a.b, types: ['*']}
    - nats: {subject: a.b}
  runs: [{template: smoke, environment: staging}]
")]), @r"
        Trigger/bad spec.sources[1].schedule.cron: is in the list already
        Trigger/bad spec.sources[1].schedule.jitter: must be at most 1d
        Trigger/bad spec.sources[2].nats.types[0]: takes no *: a.b also covers a.b.c
        Trigger/bad spec.sources[3].nats: the trigger listens to a.b here already
        in force:
        ");
}

#[test]
fn of_two_triggers_of_one_name_neither_is_compared_with_others() {
    let own = "\n  sources: [{verdict: {triggers: [after-push]}}]\n  runs: [{template: smoke, environment: staging}]\n";
    let text = format!("{WEBHOOK}---{TEMPLATE}---{TRIGGER}---\n")
        + &document("Trigger", "after-push", own)
        + &document("Trigger", "next", own);
    insta::assert_snapshot!(all(&text), @r"
        Trigger/after-push metadata.name: there is another Trigger called after-push at a.yaml:26:12
        Trigger/after-push metadata.name: there is another Trigger called after-push at a.yaml:19:12
        ");
}
