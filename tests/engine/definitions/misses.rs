//! Problems beside others, and fields that only nearly are what Kubernetes knows.

use kickoff::engine::definitions::Problem;

use super::{TEMPLATE, WEBHOOK, snapshot, told};

/// The problems of these documents.
fn problems(text: &str) -> Vec<String> {
    snapshot(&[("a.yaml", text)], None).problems.iter().map(Problem::text).collect()
}

#[test]
fn a_field_of_the_job_that_is_nearly_a_known_one_is_told_with_its_place() {
    let text = TEMPLATE
        .replace("{spec: {template", "{spec: {backofLimit: 2, futureLimits: 1, template")
        .replace("image: busybox", "image: busybox, imagePullPolcy: Always, gpuSlices: 2");
    let job = "spec.job.spec";
    let main = "spec.job.spec.template.spec.containers[0]";
    let unknown = "Kubernetes knows no such field here";
    assert_eq!(
        problems(&text),
        [
            format!("{job}.backofLimit: {unknown} (did you mean backoffLimit?)"),
            format!("{main}.imagePullPolcy: {unknown} (did you mean imagePullPolicy?)"),
        ]
    );
    let new = TEMPLATE.replace("image: busybox", "image: busybox, gpuSlices: 2");
    let passed = snapshot(&[("a.yaml", &new)], None);
    assert_eq!(told(&passed), "webhooks -\ntemplates smoke\ntriggers -", "what is new passes");
}

#[test]
fn a_webhook_with_a_bad_field_is_looked_at_for_what_else_is_wrong() {
    for (from, to, wanted) in [
        (
            "provider: github",
            "provider: slack, maxBdy: 1Mi, forks: Allow",
            &["spec.maxBdy", "spec.forks"][..],
        ),
        (
            "{env: GITHUB_SECRET}",
            "{env: ''}], maxBdy: 1Mi, extra: [1",
            &["spec.maxBdy", "spec.extra", "spec.secrets[0].env"],
        ),
        // What is missing only because it is left out is not told again.
        ("[{env: GITHUB_SECRET}]", "[{evn: GITHUB_SECRET}]", &["spec.secrets[0]"]),
    ] {
        let told = problems(&WEBHOOK.replace(from, to));
        for field in wanted {
            assert!(told.iter().any(|problem| problem.starts_with(field)), "{field}: {told:#?}");
        }
        let known = |problem: &String| wanted.iter().any(|field| problem.starts_with(field));
        assert!(told.iter().all(known), "{told:#?}");
    }
}
