//! What is no mistake in a definition and still never comes, as far as it is known here.

use super::clause::{KubernetesEventSource, WebhookSource};
use super::config::Provider;
use super::model::{Snapshot, Webhook};
use super::problem::nearest;

/// Reasons of Events, what they are about, and what tells instead where somebody waits for something else.
const ABOUT: [(&str, &str, &str); 9] = [
    ("OOMKilling", "Node", OF_OOM),
    ("SystemOOM", "Node", OF_OOM),
    ("NodeHasDiskPressure", "Node", "of pods that have to go: reason Evicted"),
    ("Rebooted", "Node", "of a container that starts again: reason BackOff"),
    ("FailedScheduling", "Pod", "of a Job whose pods fit nowhere: involvedObject kind Pod"),
    ("BackOff", "Pod", "of a Job that failed: reason BackoffLimitExceeded"),
    ("Unhealthy", "Pod", "of a Deployment that does not get ready: kubernetes with change RolloutFailed"),
    ("FailedMount", "Pod", "of a claim: reason ProvisioningFailed"),
    ("BackoffLimitExceeded", "Job", "of a pod that starts again and again: reason BackOff"),
];
const OF_OOM: &str = "of a container that was killed for its memory: kubernetes with kind Pod, change Field and \
                      field path status.containerStatuses[0].lastState.terminated.reason";
/// Words that pods show as their state and that no Event has as its reason, with what it has.
const STATES: [(&str, &str); 5] = [
    ("CrashLoopBackOff", "BackOff"),
    ("ErrImagePull", "Failed"),
    ("ImagePullBackOff", "BackOff"),
    ("OOMKilled", "BackOff, of a container that starts again after it"),
    ("Pending", "FailedScheduling"),
];

/// What forges send, as types of events have it without `com.<provider>.` and the action. They add more at times, so
/// what is missing here is only told where it looks like a slip: see [`SLIP`].
const SENT: [(Provider, &str); 4] = [
    (
        Provider::Github,
        "branch_protection_configuration branch_protection_rule check_run check_suite code_scanning_alert \
         commit_comment create custom_property custom_property_values delete dependabot_alert deploy_key deployment \
         deployment_protection_rule deployment_review deployment_status discussion discussion_comment fork \
         github_app_authorization gollum installation installation_repository installation_target issue \
         issue_comment label marketplace_purchase member membership merge_group meta milestone org_block \
         organization package page_build personal_access_token_request ping project project_card project_column \
         projects_v2 projects_v2_item projects_v2_status_update public pull_request pull_request_review \
         pull_request_review_comment pull_request_review_thread push registry_package release repository \
         repository_advisory repository_dispatch repository_import repository_ruleset \
         repository_vulnerability_alert secret_scanning_alert secret_scanning_alert_location secret_scanning_scan \
         security_advisory security_and_analysis sponsorship star status sub_issues team team_add watch \
         workflow_dispatch workflow_job workflow_run",
    ),
    (
        Provider::Gitlab,
        "access_token deployment emoji feature_flag issue job merge_request milestone note pipeline push release \
         tag_push vulnerability wiki_page work_item",
    ),
    (
        Provider::Bitbucket,
        "issue.comment_created issue.created issue.updated pullrequest.approved \
         pullrequest.changes_request_created pullrequest.changes_request_removed pullrequest.comment_created \
         pullrequest.comment_deleted pullrequest.comment_reopened pullrequest.comment_resolved \
         pullrequest.comment_updated pullrequest.created pullrequest.fulfilled pullrequest.push \
         pullrequest.rejected pullrequest.unapproved pullrequest.updated pipeline.span_created project.updated \
         repo.commit_comment_created repo.commit_status_created repo.commit_status_updated repo.created \
         repo.deleted repo.fork repo.imported repo.push repo.transfer repo.updated",
    ),
    (
        Provider::Gitea,
        "action_run_failure action_run_recover action_run_success create delete fork issue_comment issues package \
         pull_request pull_request_approved pull_request_comment pull_request_rejected push release repository \
         status wiki workflow_job workflow_run",
    ),
];
/// So many letters that differ from a known name are a slip.
const SLIP: usize = 2;

/// What of the triggers' sources never comes, each as a sentence.
pub fn hints(snapshot: &Snapshot) -> Vec<String> {
    let mut hints = Vec::new();
    for trigger in &snapshot.triggers {
        let of_events = trigger.kubernetes_events().flat_map(of_source);
        let of_sources =
            of_events.chain(trigger.of_webhooks().flat_map(|source| of_webhook(source, snapshot)));
        hints.extend(of_sources.map(|hint| format!("trigger {}: {hint}", trigger.name.name)));
    }
    hints
}

/// Types of events that look like others. Whoever sends `CloudEvents` has types of its own.
fn of_webhook(source: &WebhookSource, snapshot: &Snapshot) -> Vec<String> {
    let webhook: Option<&Webhook> = snapshot.webhooks.get(&source.webhook).map(|webhook| &**webhook);
    let sent = webhook.and_then(|webhook| SENT.iter().find(|(provider, _)| *provider == webhook.provider));
    let Some((provider, known)) = sent else { return Vec::new() };
    let prefix = provider.type_prefix();
    let parts = if *provider == Provider::Bitbucket { 2 } else { 1 };
    let hints = source.events.iter().filter_map(|event| {
        let event = event.strip_prefix(&prefix)?;
        let name = event.match_indices('.').nth(parts - 1).map_or(event, |(at, _)| &event[..at]);
        // A first part of two means all that begin with it.
        let is = |known: &str| known == name || known.split('.').next() == Some(name);
        if known.split_whitespace().any(is) {
            return None;
        }
        let near = nearest(name, known.split_whitespace())?;
        let is_slip = strsim::damerau_levenshtein(name, &near) <= SLIP;
        is_slip.then(|| format!("{} sends no event {name} (did you mean {near}?)", provider.name()))
    });
    hints.collect()
}

fn of_source(source: &KubernetesEventSource) -> Vec<String> {
    let mut hints = Vec::new();
    for reason in source.reasons.literals().unwrap_or_default() {
        if let Some((_, use_instead)) = STATES.iter().find(|(state, _)| state == reason) {
            hints.push(format!(
                "no Event has the reason {reason}: it is a pod's state; the reason is {use_instead}"
            ));
        }
        let known = ABOUT.iter().find(|(known, ..)| known == reason);
        if let Some((_, about, instead)) = known
            && let Some(kind) = source.kind.as_deref().filter(|kind| kind != about)
        {
            hints.push(format!(
                "Events with the reason {reason} are about a {about}, never about a {kind}; {instead}"
            ));
        }
    }
    hints
}
