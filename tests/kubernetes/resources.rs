//! Definitions as resources of a real cluster: what its API server takes and refuses, what kubectl shows, and a server
//! that follows them within their rights. Each test has a namespace of its own, and serves that alone.

mod kinds;
mod overlap;

use std::io::Write as _;
use std::process::{Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::home::{Site, run_of, settled};
use super::troubles::{account, bind, ready};
use crate::support::cluster::{Cluster, PATIENCE, cluster, until};
use crate::support::{Home, Server, client, kickoff};

/// What proves deliveries, in the Secret `hooks`.
const TOKEN: &str = "of the cluster";

/// What `kubectl` makes of objects that it reads.
fn feed(cluster: &Cluster, arguments: &[&str], objects: &Value) -> Output {
    let mut command = cluster.kubectl(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(objects.to_string().as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn list(items: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

fn apply(cluster: &Cluster, namespace: &str, objects: &[Value]) {
    let output = feed(cluster, &["--namespace", namespace, "apply", "-f", "-"], &list(objects));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Makes the kinds known to a cluster.
fn install(cluster: &Cluster) {
    let output = kickoff().arg("crds").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("crds.yaml");
    std::fs::write(&file, output.stdout).unwrap();
    let said = cluster.run(&["apply", "-f", file.to_str().unwrap()]);
    assert_eq!(said.lines().count(), 3, "{said}");
    for plural in ["webhooks", "jobtemplates", "triggers"] {
        let name = format!("crd/{plural}.kickoff.dev");
        cluster.run(&["wait", "--for=condition=Established", &name, "--timeout=60s"]);
    }
}

/// The suites' cluster with the kinds.
fn known() -> &'static Cluster {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| install(cluster()));
    cluster()
}

fn resource(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "kickoff.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn hook() -> Value {
    let secret = json!({"secretKeyRef": {"name": "hooks", "key": "token"}});
    resource(
        "Webhook",
        "hook",
        &json!({"provider": "token", "secrets": [secret], "auth": {"idHeader": "X-Id"}}),
    )
}

fn template(name: &str, cluster: &Cluster, script: &str) -> Value {
    let container = json!({"name": "main", "image": cluster.busybox, "command": ["sh", "-c", script]});
    resource(
        "JobTemplate",
        name,
        &json!({"job": {"spec": {"template": {"spec": {"containers": [container]}}}}}),
    )
}

/// A trigger that answers to deliveries with its name.
fn trigger(name: &str, template: &str) -> Value {
    resource(
        "Trigger",
        name,
        &json!({
            "sources": [{"webhook": {"name": "hook"}}],
            "match": [{"path": "event.data.run", "equals": name}],
            "runs": [{"template": template}],
        }),
    )
}

fn secret() -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hooks"}, "stringData": {"token": TOKEN}})
}

fn object(cluster: &Cluster, namespace: &str, kind: &str, name: &str) -> Value {
    let plural = format!("{}s", kind.to_ascii_lowercase());
    cluster.get(&format!("/apis/kickoff.dev/v1alpha1/namespaces/{namespace}/{plural}/{name}"))
}

/// Waits until a resource's status says this of its spec as it is, and gives it.
fn stands(
    cluster: &Cluster,
    namespace: &str,
    (kind, name): (&str, &str),
    status: &str,
    reason: &str,
) -> Value {
    until(&format!("{kind} {name} to be {status} {reason}"), || {
        let object = object(cluster, namespace, kind, name);
        let ready = &object["status"]["conditions"][0];
        let now = object["status"]["observedGeneration"] == object["metadata"]["generation"];
        let told = ready["status"] == status && ready["reason"] == reason;
        (now && told).then(|| object["status"].clone())
    })
}

/// Delivers to a Webhook of a namespace; the status, and the event's key.
async fn deliver(server: &Server, namespace: &str, run: &str) -> (u16, String) {
    let request = client().post(format!("{}/hooks/{namespace}/hook", server.url));
    let sent = request
        .header("content-type", "application/json")
        .header("x-id", fastrand::u64(..).to_string())
        .bearer_auth(TOKEN)
        .body(json!({"run": run}).to_string())
        .send()
        .await
        .unwrap();
    let status = sent.status().as_u16();
    let receipt: Value = sent.json().await.unwrap_or_default();
    (status, receipt["event"].as_str().unwrap_or_default().to_owned())
}

/// Delivers until it is answered so.
async fn answered(server: &Server, namespace: &str, run: &str, wanted: u16) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        let (status, event) = deliver(server, namespace, run).await;
        if status == wanted {
            return event;
        }
        assert!(Instant::now() < end, "answered {status}, wanted {wanted}\n{}", server.said());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn serve(site: &Site<'_>, further: &[&str]) -> Server {
    let mut arguments = vec!["--definitions-from-cluster", "--namespaces", &site.namespace.name];
    arguments.extend(further);
    site.serve_with(&arguments)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_applied_runs_and_tells_what_became_of_it() {
    let cluster = known();
    let site = Site::new(cluster, &[]);
    let namespace = site.namespace.name.as_str();
    let server = serve(&site, &[]);
    let applied = [
        secret(),
        hook(),
        template("passes", cluster, "echo ran as $KICKOFF_TRIGGER"),
        template("fails", cluster, "exit 1"),
        trigger("good", "passes"),
        trigger("bad", "fails"),
    ];
    apply(cluster, namespace, &applied);
    let good = ("Trigger", "good");
    stands(cluster, namespace, good, "True", "InForce");
    assert_eq!(
        stands(cluster, namespace, ("Webhook", "hook"), "True", "InForce")["path"],
        format!("/hooks/{namespace}/hook")
    );
    let event = answered(&server, namespace, "good", 202).await;
    let run = run_of(&server, &event, settled).await;
    assert_eq!((&run["outcome"], &run["namespace"]), (&json!("Passed"), &json!(namespace)), "{run:#}");
    let event = answered(&server, namespace, "bad", 202).await;
    run_of(&server, &event, settled).await;
    counts(cluster, namespace);
    shows(&site, &applied);
    edits(&site, &server).await;
    // Killed at any moment, it begins with the same and writes nothing anew.
    let before = object(cluster, namespace, "Trigger", "bad");
    server.kill();
    let server = serve(&site, &[]);
    answered(&server, namespace, "bad", 202).await;
    let after = stands(cluster, namespace, ("Trigger", "bad"), "True", "InForce");
    assert_eq!(after["conditions"], before["status"]["conditions"]);
    site.namespace.run(&["delete", "webhook.kickoff.dev", "hook"]);
    answered(&server, namespace, "bad", 404).await;
}

/// Waits for what each trigger's status says of its firing.
fn counts(cluster: &Cluster, namespace: &str) {
    for (name, outcome, count) in [("good", "Passed", "passed"), ("bad", "Failed", "failed")] {
        let status = until(&format!("the counts of {name}"), || {
            let status = object(cluster, namespace, "Trigger", name)["status"].clone();
            (status["lastOutcome"] == outcome).then_some(status)
        });
        assert_eq!(
            (&status["counts"]["fired"], &status["counts"][count]),
            (&json!(1), &json!(1)),
            "{status:#}"
        );
        assert_eq!(status["counts"]["active"], 0, "{status:#}");
        assert!(status["lastFired"].as_str().unwrap().starts_with("20"), "{status:#}");
    }
}

/// What kubectl says of resources.
fn shows(site: &Site<'_>, applied: &[Value]) {
    let wide = site.namespace.run(&["get", "triggers.kickoff.dev", "-o", "wide"]);
    let (heading, rows) = wide.split_once('\n').unwrap();
    let columns =
        ["NAME", "READY", "REASON", "LAST FIRED", "LAST OUTCOME", "SUSPENDED", "FIRED", "FAILED", "AGE"];
    assert!(columns.iter().all(|column| heading.contains(column)), "{wide}");
    assert!(
        rows.lines().any(|row| row.starts_with("good") && row.contains("True") && row.contains("Passed")),
        "{wide}"
    );
    let all = site.namespace.run(&["get", "kickoff", "-o", "name"]);
    assert_eq!(all.lines().count(), 5, "{all}");
    for (field, wanted) in [
        ("trigger.spec", "Any of them; none means by hand only."),
        ("trigger.spec.sources.kubernetes.change", "Which changes, any of them."),
        ("trigger.status.counts", "retention"),
        ("jobtemplate.spec.job.spec", "JobSpec"),
        ("webhook.spec.secrets.secretKeyRef.key", "One of its keys."),
    ] {
        let (kind, path) = field.split_once('.').unwrap();
        let field = format!("{kind}s.{path}");
        let said = site.namespace.run(&["explain", &field, "--api-version=kickoff.dev/v1alpha1"]);
        let said: Vec<&str> = said.split_whitespace().collect();
        assert!(said.join(" ").contains(wanted), "{field}: {}", said.join(" "));
    }
    let diff = feed(
        site.namespace.cluster,
        &["--namespace", &site.namespace.name, "diff", "-f", "-"],
        &list(&applied[1..]),
    );
    assert!(diff.status.success(), "{}", String::from_utf8_lossy(&diff.stdout));
}

/// An edit takes effect; a bad one says so and harms no other.
async fn edits(site: &Site<'_>, server: &Server) {
    let (cluster, namespace) = (site.namespace.cluster, site.namespace.name.as_str());
    let good = ("Trigger", "good");
    let mut edited = trigger("good", "fails");
    apply(cluster, namespace, &[edited.clone()]);
    stands(cluster, namespace, good, "True", "InForce");
    let event = answered(server, namespace, "good", 202).await;
    assert_eq!(run_of(server, &event, settled).await["outcome"], "Failed");
    edited["spec"]["runs"][0]["template"] = json!("passe");
    apply(cluster, namespace, &[edited]);
    let status = stands(cluster, namespace, good, "False", "Invalid");
    let said = status["conditions"][0]["message"].as_str().unwrap();
    assert_eq!(
        said,
        "spec.runs[0].template: there is no JobTemplate called \"passe\" (did you mean passes?)"
    );
    let event = answered(server, namespace, "good", 202).await;
    let end = Instant::now() + PATIENCE;
    loop {
        let decisions = server.get(&format!("/api/v1/events/{event}")).await["decisions"].clone();
        let of = |name: &str| decisions.as_array()?.iter().find(|it| it["trigger"] == name).cloned();
        if let Some(decision) = of("good") {
            assert_eq!(decision["decision"], "invalid", "{decisions:#}");
            break;
        }
        assert!(Instant::now() < end, "{decisions:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let event = answered(server, namespace, "bad", 202).await;
    run_of(server, &event, settled).await;
    apply(cluster, namespace, &[trigger("good", "passes")]);
    stands(cluster, namespace, good, "True", "InForce");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_name_in_a_file_is_refused_on_both() {
    let cluster = known();
    let site = Site::new(cluster, &[]);
    let namespace = site.namespace.name.as_str();
    let files = [template("passes", cluster, "true"), template("other", cluster, "true")];
    let files: Vec<String> = files.iter().map(Value::to_string).collect();
    site.home.define(&files.join("\n---\n"));
    let server = serve(&site, &["--namespace", namespace]);
    let names = async || -> Vec<String> {
        let listed = server.get("/api/v1/templates").await;
        listed["items"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names().await, ["other", "passes"]);
    apply(cluster, namespace, &[template("passes", cluster, "true"), template("third", cluster, "true")]);
    let status = stands(cluster, namespace, ("JobTemplate", "passes"), "False", "Invalid");
    let said = status["conditions"][0]["message"].as_str().unwrap();
    assert!(said.contains("there is another JobTemplate called passes at all.yaml:1:"), "{said}");
    assert_eq!(names().await, ["other", "third"]);
    server.saying("there is another JobTemplate called passes at JobTemplate");
    site.namespace.run(&["delete", "jobtemplate.kickoff.dev", "passes"]);
    let end = Instant::now() + PATIENCE;
    while names().await != ["other", "passes", "third"] {
        assert!(Instant::now() < end, "{}", server.said());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_takes_only_what_has_its_labels() {
    let cluster = known();
    let site = Site::new(cluster, &[]);
    let namespace = site.namespace.name.as_str();
    let mut mine = template("mine", cluster, "true");
    mine["metadata"]["labels"] = json!({"kickoff.dev/instance": "mine"});
    apply(cluster, namespace, &[mine, template("others", cluster, "true")]);
    let server = serve(&site, &["--definitions-selector", "kickoff.dev/instance=mine"]);
    stands(cluster, namespace, ("JobTemplate", "mine"), "True", "InForce");
    let names = async || -> Vec<String> {
        let listed = server.get("/api/v1/templates").await;
        listed["items"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names().await, ["mine"]);
    assert!(object(cluster, namespace, "JobTemplate", "others")["status"].is_null());
    let one = server.get(&format!("/api/v1/templates/{namespace}/mine")).await;
    assert_eq!((&one["name"], &one["namespace"]), (&json!("mine"), &json!(namespace)), "{one:#}");
    site.namespace.run(&["label", "jobtemplate.kickoff.dev", "mine", "kickoff.dev/instance-"]);
    let end = Instant::now() + PATIENCE;
    while !names().await.is_empty() {
        assert!(Instant::now() < end, "{}", server.said());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_end_at_the_namespace_and_grants_open_them() {
    let cluster = known();
    let site = Site::new(cluster, &[]);
    let namespace = site.namespace.name.as_str();
    let mut elsewhere = template("elsewhere", cluster, "true");
    elsewhere["spec"]["namespace"] = json!("kube-system");
    let watching = resource(
        "Trigger",
        "watching",
        &json!({
            "sources": [{"kubernetes": {"apiVersion": "v1", "kind": "ConfigMap", "namespaces": ["kube-*"],
                "change": ["Created"]}}],
            "runs": [{"template": "passes"}],
        }),
    );
    let listening = resource(
        "Trigger",
        "listening",
        &json!({"sources": [{"nats": {"subject": "orders.placed"}}], "runs": [{"template": "passes"}]}),
    );
    let passes = template("passes", cluster, "true");
    apply(cluster, namespace, &[passes, elsewhere, watching, listening]);
    let all = [
        (("JobTemplate", "elsewhere"), "runNamespaces: [\"kube-system\"]"),
        (("Trigger", "watching"), "watchNamespaces: [\"kube-*\"]"),
        (("Trigger", "listening"), "natsSubjects: [\"orders.placed\"]"),
    ];
    let server = serve(&site, &[]);
    for (which, wanted) in all {
        let status = stands(cluster, namespace, which, "False", "Invalid");
        let said = status["conditions"][0]["message"].as_str().unwrap();
        assert!(said.contains(wanted) && said.contains("is beyond namespace"), "{said}");
    }
    stands(cluster, namespace, ("JobTemplate", "passes"), "True", "InForce");
    assert_eq!(server.stop(), Some(0));
    let grants = site.home.path().join("grants.yaml");
    let grant = format!(
        "- {{namespaces: [{namespace}], runNamespaces: [kube-system], watchNamespaces: ['kube-*'], natsSubjects: ['orders.*']}}\n"
    );
    std::fs::write(&grants, grant).unwrap();
    let _server = serve(&site, &["--grants", grants.to_str().unwrap()]);
    for (which, _) in all {
        stands(cluster, namespace, which, "True", "InForce");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_may_come_later_and_the_api_server_may_go() {
    let cluster = Cluster::own(&[]);
    let home = Home::new("");
    let kubeconfig = cluster.kubeconfig.to_str().unwrap().to_owned();
    let begin = || {
        let arguments =
            ["--executor", "kubernetes", "--kubeconfig", &kubeconfig, "--definitions-from-cluster"];
        home.serve(&arguments, &[("RUST_LOG", "kickoff=debug,info,kube_client=off")])
    };
    let server = begin();
    let (status, text) = ready(&server).await;
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("kickoff crds | kubectl apply -f -"), "{text}");
    install(&cluster);
    let namespace = cluster.namespace();
    let passes = template("passes", &cluster, "true");
    apply(&cluster, &namespace.name, &[secret(), hook(), passes, trigger("good", "passes")]);
    stands(&cluster, &namespace.name, ("Trigger", "good"), "True", "InForce");
    answered(&server, &namespace.name, "good", 202).await;
    let told = async |wanted: bool| {
        let end = Instant::now() + PATIENCE;
        while ready(&server).await.1.contains("Triggers:") != wanted {
            assert!(Instant::now() < end, "{}", ready(&server).await.1);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    told(false).await;
    cluster.tell("kill kube-apiserver");
    told(true).await;
    answered(&server, &namespace.name, "good", 202).await;
    // The next one knows them too, though not what they are signed with.
    server.kill();
    let server = begin();
    answered(&server, &namespace.name, "good", 503).await;
    cluster.tell("start kube-apiserver");
    answered(&server, &namespace.name, "good", 202).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_that_is_shipped_is_all_it_takes() {
    let cluster = known();
    let site = Site::new(cluster, &[]);
    let namespace = site.namespace.name.as_str();
    let kubeconfig = account(&site, &[]);
    bind(&site, "kickoff", namespace);
    bind(&site, "kickoff-lease", namespace);
    let (mut hook, mut secret) = (hook(), secret());
    secret["metadata"]["name"] = json!("kickoff-webhooks");
    hook["spec"]["secrets"][0]["secretKeyRef"]["name"] = json!("kickoff-webhooks");
    apply(
        cluster,
        namespace,
        &[secret, hook, template("passes", cluster, "true"), trigger("good", "passes")],
    );
    let server = serve(&site, &["--kubeconfig", kubeconfig.to_str().unwrap()]);
    let (status, text) = ready(&server).await;
    assert!(status == 200 && text.contains("cannot list resource \"triggers\""), "{status} {text}");
    let role = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/resources/kickoff-tests/role.yaml");
    cluster.run(&["--namespace", namespace, "apply", "-f", role]);
    bind(&site, "kickoff-definitions", namespace);
    stands(cluster, namespace, ("Trigger", "good"), "True", "InForce");
    stands(cluster, namespace, ("Webhook", "hook"), "True", "InForce");
    let event = answered(&server, namespace, "good", 202).await;
    run_of(&server, &event, settled).await;
}
