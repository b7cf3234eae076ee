use serde_json::{Value, json};

use super::DEFINITIONS;
use crate::support::{Home, kickoff};

const HEADERS: &str = "Content-Type: application/json\nX-GitHub-Event: push\nX-GitHub-Delivery: 72d3162e\n";

fn push(branch: &str) -> String {
    json!({
        "ref": format!("refs/heads/{branch}"),
        "repository": {"full_name": "acme/shop", "html_url": "https://github.com/acme/shop"},
        "head_commit": {"id": "59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5", "message": "Say \"hi\" $(reboot)"},
        "pusher": {"name": "kim"},
        "sender": {"login": "kim"},
    })
    .to_string()
}

/// Exit code, stdout and stderr of `kickoff`, with the home's folder as `{}` in `line`.
fn run(home: &Home, line: &str) -> (i32, String, String) {
    let folder = home.path().to_str().unwrap();
    let output = kickoff().args(line.split(' ').map(|it| it.replace("{}", folder))).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap().replace(folder, "{}");
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn home() -> Home {
    let home = Home::new(DEFINITIONS);
    let write = |name: &str, text: &str| std::fs::write(home.path().join(name), text).unwrap();
    write("headers.txt", HEADERS);
    write("main.json", &push("main"));
    write("other.json", &push("try-it"));
    let event = json!({
        "specversion": "1.0", "id": "1", "source": "/test", "type": "com.github.push",
        "data": {"ref": "refs/heads/main"},
    });
    write("event.json", &event.to_string());
    home
}

#[test]
fn good_definitions_have_no_problems() {
    let home = home();
    assert_eq!(
        run(&home, "check {}/definitions"),
        (0, "4 definitions, no problems\n".to_owned(), String::new())
    );
    let (code, stdout, _) = run(&home, "check {}/definitions -o json");
    let checked: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, checked), (0, json!({"definitions": 4, "tests": 0, "problems": []})));
}

#[test]
fn roles_are_written_for_what_triggers_watch() {
    let home = home();
    let nothing = "# No trigger watches anything here.\n".to_owned();
    assert_eq!(run(&home, "rbac {}/definitions"), (0, nothing, String::new()));
    let watching = "\n---\napiVersion: kickoff.dev/v1alpha1\nkind: Trigger\nmetadata: {name: watches}\nspec:\n  \
                    sources: [{kubernetes: {apiVersion: v1, kind: ConfigMap, change: [Created]}}]\n  \
                    runs: [{template: say}]\n";
    home.define(&format!("{DEFINITIONS}{watching}"));
    let (code, stdout, stderr) =
        run(&home, "rbac {}/definitions --namespaces a,b --service-account ops/runner");
    assert_eq!((code, stderr.as_str()), (0, ""));
    let count = |text: &str| stdout.matches(text).count();
    assert_eq!((count("kind: RoleBinding"), count("resources: [configmaps]")), (2, 2), "{stdout}");
    assert_eq!((count("name: \"runner\""), count("namespace: \"ops\"")), (2, 2), "{stdout}");
    let (code, stdout, _) = run(&home, "rbac {}/definitions --namespaces a,b --definitions-from-cluster");
    let count = |wanted: &str| stdout.lines().filter(|line| line.trim() == wanted).count();
    assert_eq!((code, count("name: kickoff-definitions")), (0, 6), "{stdout}");
    assert_eq!(count("resources: [webhooks, jobtemplates, triggers]"), 2, "{stdout}");
    let others = "--other-instances ci/kickoff,ops/a.b,ci/nightly";
    let (_, without, _) = run(&home, "rbac {}/definitions --definitions-from-cluster");
    let (code, stdout, _) = run(&home, &format!("rbac {{}}/definitions --definitions-from-cluster {others}"));
    let more = stdout.strip_prefix(&without).expect("what is written without it, and more");
    let lines: Vec<&str> = more.lines().map(str::trim).collect();
    let count = |wanted: &str| lines.iter().filter(|line| **line == wanted).count();
    assert_eq!((code, count("kind: Role"), count("kind: RoleBinding")), (0, 4, 2), "{more}");
    assert_eq!(count("resourceNames: [kickoff-kickoff, kickoff-nightly]"), 1, "{more}");
    assert_eq!((count("resourceNames: [kickoff-a.b]"), count("verbs: [get]")), (1, 2), "{more}");
    let (code, _, stderr) = run(&home, &format!("rbac {{}}/definitions {others}"));
    assert!(code == 2 && stderr.contains("--definitions-from-cluster"), "{stderr}");
    let (code, _, stderr) = run(&home, "rbac {}/definitions --definitions-from-cluster --other-instances ci");
    assert!(code == 2 && stderr.contains("must be NAMESPACE/INSTANCE"), "{stderr}");
    let (code, _, stderr) = run(&home, "rbac {}/definitions --service-account runner");
    assert!(code == 2 && stderr.contains("must be NAMESPACE/NAME"), "{stderr}");
}

#[test]
fn every_problem_is_shown_with_its_place() {
    let home = home();
    home.define(
        &DEFINITIONS.replace("template: say, params", "template: sya, params").replace("github", "githab"),
    );
    let (code, stdout, stderr) = run(&home, "check {}/definitions");
    assert_eq!((code, stderr.as_str()), (1, ""));
    insta::assert_snapshot!(stdout);
    let (code, stdout, _) = run(&home, "check {}/definitions -o json");
    let checked: Value = serde_json::from_str(&stdout).unwrap();
    let problem = &checked["problems"][0];
    assert_eq!(
        (code, &problem["place"]["file"], &problem["place"]["line"]),
        (1, &json!("all.yaml"), &json!(5))
    );
    let (code, _, stderr) = run(&home, "check {}/nowhere");
    assert_eq!(code, 3);
    assert!(stderr.starts_with("error: the definitions in {}/nowhere can't be read: "), "{stderr}");
}

#[test]
fn a_delivery_is_explained_rule_by_rule_with_its_job() {
    let home = home();
    let explain = "explain --definitions {}/definitions --trigger on-main --headers {}/headers.txt --event";
    let (code, fired, stderr) = run(&home, &format!("{explain} {{}}/main.json"));
    assert_eq!((code, stderr.as_str()), (0, ""));
    insta::assert_snapshot!("fired", fired);
    let (code, filtered, stderr) = run(&home, &format!("{explain} {{}}/other.json"));
    assert_eq!((code, stderr.as_str()), (0, ""));
    insta::assert_snapshot!("filtered", filtered);
}

#[test]
fn cel_and_changed_are_explained_with_the_event_before() {
    let home = home();
    let rules = "    - {path: event.data.ref, equals: refs/heads/main}\n";
    let more = format!(
        "{rules}    - {{cel: \"event.data.repository.full_name.startsWith('acme/') && event.data.n > 1\"}}\n    \
         - {{path: event.data.n, changed: true}}\n"
    );
    home.define(&DEFINITIONS.replacen(rules, &more, 1));
    let write = |name: &str, n: u32, branch: &str| {
        let mut event: Value = serde_json::from_str(&push(branch)).unwrap();
        event["n"] = json!(n);
        std::fs::write(home.path().join(name), event.to_string()).unwrap();
    };
    write("two.json", 2, "main");
    write("three.json", 3, "main");
    write("elsewhere.json", 3, "try-it");
    let explain = "explain --definitions {}/definitions --trigger on-main --headers {}/headers.txt --event";
    let told = |line: &str| {
        let (code, stdout, stderr) = run(&home, &format!("{explain} {line}"));
        assert_eq!((code, stderr.as_str()), (0, ""), "{line}");
        stdout
    };
    for (line, decision) in [
        (
            "{}/two.json",
            "filtered: match[2]: event.data.n is 2 in the first event of its series, wanted changed true",
        ),
        (
            "{}/two.json --previous {}/two.json",
            "filtered: match[2]: event.data.n is 2 as before, wanted changed true",
        ),
        ("{}/three.json --previous {}/two.json", "fired: all rules hold"),
        ("{}/main.json --previous {}/two.json", "invalid: match[1].cel: event.data.n is missing"),
    ] {
        let text = told(line);
        assert!(text.contains(&format!("decision {decision}\n")), "{line}: {text}");
    }
    let text = told("{}/three.json --previous {}/two.json");
    let cel = "cel event.data.repository.full_name.startsWith('acme/') && event.data.n > 1  \
               saw {\"event.data.repository.full_name\":\"acme/shop\"}, {\"event.data.n\":3}  holds";
    assert!(text.contains(cel), "{text}");
    let (code, _, stderr) = run(&home, &format!("{explain} {{}}/three.json --previous {{}}/elsewhere.json"));
    assert_eq!((code, stderr.as_str()), (2, "error: --previous: the event before is of another series\n"));
}

#[test]
fn programs_read_what_people_read() {
    let home = home();
    let explain = "explain --definitions {}/definitions --trigger on-main -o json --event";
    for (event, decision, runs) in [
        ("{}/main.json --headers {}/headers.txt", "fired", 1),
        ("{}/other.json --headers {}/headers.txt", "filtered", 0),
        ("{}/event.json", "filtered", 0),
    ] {
        let (code, stdout, stderr) = run(&home, &format!("{explain} {event}"));
        assert_eq!((code, stderr.as_str()), (0, ""), "{event}");
        let said: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(
            (&said["decision"], said["rules"].as_array().unwrap().len()),
            (&json!(decision), 2),
            "{event}"
        );
        let made = said["runs"].as_array().unwrap();
        assert_eq!(made.len(), runs, "{event}");
        assert!(made.iter().all(|run| run["manifest"]["kind"] == "Job"), "{event}");
    }
}

#[test]
fn what_can_not_be_explained_says_why() {
    let home = home();
    std::fs::write(home.path().join("bad.txt"), "X-GitHub-Event push\n").unwrap();
    for (line, expected) in [
        (
            "--trigger on-mian --event {}/main.json",
            "error: there is no trigger on-mian (did you mean on-main?)\n",
        ),
        (
            "--trigger on-main --event {}/main.json",
            "error: webhook gh would refuse this delivery: the header x-github-delivery is missing \
             (give the delivery's headers with --headers)\n",
        ),
        (
            "--trigger on-main --event {}/main.json --headers {}/bad.txt",
            "error: {}/bad.txt:1: must be `Name: value`\n",
        ),
        (
            "--trigger on-main --webhook hg --event {}/main.json",
            "error: there is no webhook hg (did you mean gh?)\n",
        ),
        ("--trigger alone --event {}/main.json", "error: trigger alone listens to nothing: run it by hand\n"),
    ] {
        let (code, stdout, stderr) = run(&home, &format!("explain --definitions {{}}/definitions {line}"));
        assert_eq!((code, stdout.as_str(), stderr.as_str()), (2, "", expected), "{line}");
    }
    home.define(&DEFINITIONS.replace("equals: refs", "equasl: refs"));
    let line = "explain --definitions {}/definitions --trigger on-main --event {}/main.json";
    let (code, _, stderr) = run(&home, line);
    assert_eq!(code, 3);
    assert!(stderr.contains("equasl") && stderr.contains("all.yaml:"), "{stderr}");
}

#[test]
fn resources_need_a_cluster_and_grants_need_resources() {
    let home = Home::new("");
    let (code, _, said) = run(&home, "serve --definitions-from-cluster --data-dir {}/data");
    assert_eq!((code, said.contains("add --executor kubernetes")), (2, true), "{said}");
    for option in ["--grants {}/grants.yaml", "--definitions-selector kickoff.dev/instance=a"] {
        let (code, _, said) = run(&home, &format!("serve {option}"));
        assert_eq!((code, said.contains("--definitions-from-cluster")), (2, true), "{said}");
    }
}
