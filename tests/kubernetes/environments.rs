//! Where a run runs and what it finds there: whatever a pod of Kubernetes may have, a run's pod may have.

use std::process::Stdio;

use serde_json::{Value, json};

use super::home::{Site, fire, log, run_of, settled};
use crate::support::cluster::cluster;
use crate::support::kickoff;

/// A container with a script, and what else it has.
fn container(name: &str, script: &str, further: Value) -> Value {
    let mut container = further;
    container["name"] = json!(name);
    container["image"] = json!(cluster().busybox);
    container["command"] = json!(["sh", "-ec", script]);
    container
}

fn field(path: &str) -> Value {
    json!({"fieldRef": {"fieldPath": path}})
}

fn variables() -> Value {
    let further = json!({
        "env": [
            {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "words", "key": "word"}}},
            {"name": "SIZE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "size"}}},
            {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "none", "key": "x", "optional": true}}},
        ],
        "envFrom": [{"prefix": "ALL_", "secretRef": {"name": "words"}}, {"configMapRef": {"name": "settings"}}],
    });
    json!({"containers": [container("main", "echo $WORD $SIZE $ALL_word $size ${NONE-none}", further)]})
}

fn files() -> Value {
    let mounts =
        ["words", "settings", "all"].map(|name| json!({"name": name, "mountPath": format!("/{name}")}));
    let all = json!({"sources": [
        {"secret": {"name": "words"}},
        {"configMap": {"name": "settings"}},
        {"downwardAPI": {"items": [{"path": "run", "fieldRef": {"fieldPath": "metadata.labels['kickoff.dev/run']"}}]}},
    ]});
    let script = "echo $(cat /words/deep/word) $(cat /settings/size) $(cat /all/word) $(cat /all/size); \
                  test $(cat /all/run) = $KICKOFF_RUN_ID; stat -L -c %a:%g /words/deep/word; id -u";
    json!({
        "securityContext": {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000},
        "containers": [container("main", script, json!({"volumeMounts": mounts}))],
        "volumes": [
            {"name": "words", "secret": {"secretName": "words", "defaultMode": 0o440,
                "items": [{"key": "word", "path": "deep/word"}]}},
            {"name": "settings", "configMap": {"name": "settings"}},
            {"name": "all", "projected": all},
        ],
    })
}

/// What an init container leaves in two volumes, on disk and in memory.
fn volumes() -> Value {
    let mounts = json!({"volumeMounts": [
        {"name": "disk", "mountPath": "/disk"}, {"name": "memory", "mountPath": "/memory"}]});
    let prepare = "echo from disk >/disk/it; echo from memory >/memory/it";
    let main = "cat /disk/it /memory/it; grep -q '/memory tmpfs' /proc/mounts";
    json!({
        "initContainers": [container("prepare", prepare, mounts.clone())],
        "containers": [container("main", main, mounts)],
        "volumes": [
            {"name": "disk", "emptyDir": {"sizeLimit": "1Mi"}},
            {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        ],
    })
}

/// A server beside that has started once its probe says so, and that the main container reaches.
fn sidecar() -> Value {
    let serve = "mkdir /www; sleep 1; echo served >/www/it; exec httpd -f -p 8000 -h /www";
    let further = json!({
        "restartPolicy": "Always",
        "startupProbe": {"exec": {"command": ["wget", "-q", "-O", "-", "localhost:8000/it"]}, "periodSeconds": 1},
    });
    json!({
        "terminationGracePeriodSeconds": 1,
        "initContainers": [container("server", serve, further)],
        "containers": [container("main", "wget -q -O - localhost:8000/it", json!({}))],
    })
}

/// Bound to nodes, a class, an account and limits.
fn placed(class: &str) -> Value {
    let further = json!({
        "env": [
            {"name": "NODE", "valueFrom": field("spec.nodeName")},
            {"name": "ACCOUNT", "valueFrom": field("spec.serviceAccountName")},
            {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
        ],
        "resources": {"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}},
    });
    let script = "test -n \"$NODE\"; test -s /var/run/secrets/kubernetes.io/serviceaccount/token; echo $ACCOUNT $MEMORY";
    let host = "kubernetes.io/hostname";
    let exists = json!([{"matchExpressions": [{"key": host, "operator": "Exists"}]}]);
    let none = json!({"topologyKey": host, "labelSelector": {"matchLabels": {"there": "is-none"}}});
    json!({
        "priorityClassName": class,
        "serviceAccountName": "tester",
        "automountServiceAccountToken": true,
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": exists}},
            "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [none]},
        },
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": host, "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"kickoff.dev/trigger": "placed"}}}],
        "containers": [container("main", script, further)],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_pod_may_have_works() {
    let class = format!("class-{}", fastrand::u32(..));
    let cases = [
        ("variables", variables(), "hushed small hushed small none\n"),
        ("files", files(), "hushed small hushed small\n440:1000\n1000\n"),
        ("volumes", volumes(), "[main] from disk\n[main] from memory\n"),
        ("sidecar", sidecar(), "[main] served\n"),
        ("placed", placed(&class), "tester 67108864\n"),
    ];
    let templates: Vec<_> = cases.iter().map(|(name, pod, _)| (*name, json!({}), pod.clone())).collect();
    let site = Site::new(cluster(), &templates);
    site.namespace.run(&["create", "priorityclass", &class, "--value=1000"]);
    site.namespace.run(&["create", "serviceaccount", "tester"]);
    site.namespace.run(&["create", "secret", "generic", "words", "--from-literal=word=hushed"]);
    site.namespace.run(&["create", "configmap", "settings", "--from-literal=size=small"]);
    let server = site.serve();
    let mut events = Vec::new();
    for (name, ..) in &cases {
        events.push(fire(&server, name).await);
    }
    for ((name, _, said), event) in cases.iter().zip(&events) {
        let run = run_of(&server, event, settled).await;
        let log = log(&server, &run).await;
        assert_eq!((&run["outcome"], log.as_str()), (&json!("Passed"), *said), "{name}: {run:#}");
    }
    let pods = site.pods();
    cluster().run(&["delete", "priorityclass", &class]);
    let placed = pods.iter().find(|pod| pod["spec"]["priorityClassName"] == json!(class)).unwrap();
    assert_eq!(placed["spec"]["priority"], 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_quota_has_no_room_for_waits_for_it() {
    let script = "sleep 2";
    let pod = json!({"containers": [container("main", script, json!({"resources": {"requests": {"cpu": "10m"}}}))]});
    let site = Site::new(cluster(), &[("one", json!({}), pod)]);
    site.namespace.run(&["create", "quota", "one-pod", "--hard=pods=1,requests.cpu=1"]);
    let server = site.serve();
    let mut events = Vec::new();
    for _ in 0..3 {
        events.push(fire(&server, "one").await);
    }
    for event in &events {
        let run = run_of(&server, event, settled).await;
        assert_eq!(run["outcome"], "Passed", "{run:#}");
    }
    let pods = site.pods();
    let terminated = pods.iter().map(|pod| &pod["status"]["containerStatuses"][0]["state"]["terminated"]);
    let text = |state: &Value, field: &str| state[field].as_str().unwrap().to_owned();
    let mut times: Vec<_> =
        terminated.map(|state| (text(state, "startedAt"), text(state, "finishedAt"))).collect();
    times.sort();
    assert_eq!(times.len(), 3);
    assert!(times.windows(2).all(|pair| pair[0].1 <= pair[1].0), "two at once: {times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_is_a_namespace_with_what_is_there_an_account_and_params() {
    let (staging, production) = (cluster().namespace(), cluster().namespace());
    let fields = json!({
        "params": [
            {"name": "users", "type": "integer", "default": 10},
            {"name": "account", "type": "string", "default": "tester"},
        ],
        "environments": [
            {"name": "staging", "namespace": staging.name},
            {"name": "production", "namespace": production.name,
                "params": {"users": 1, "account": "tester-of-production"}},
        ],
        "allow": {"serviceAccounts": ["tester*"]},
    });
    let further = json!({"env": [
        {"name": "NAMESPACE", "valueFrom": field("metadata.namespace")},
        {"name": "ACCOUNT", "valueFrom": field("spec.serviceAccountName")},
        {"name": "URL", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "url"}}},
    ]});
    let pod = json!({"serviceAccountName": "{{ params.account }}",
        "containers": [container("main", "echo $KICKOFF_PARAM_USERS $NAMESPACE $ACCOUNT $URL", further)]});
    let site = Site::new(cluster(), &[("smoke", fields, pod)]);
    let environments =
        [("staging", &staging, "tester", 10), ("production", &production, "tester-of-production", 1)];
    for (environment, namespace, account, _) in environments {
        namespace.run(&["create", "serviceaccount", account]);
        let url = format!("--from-literal=url=http://{environment}");
        namespace.run(&["create", "configmap", "settings", &url]);
    }
    let server = site.serve();
    for (environment, namespace, account, users) in environments {
        let mut run = kickoff();
        run.args(["run", "template/smoke", "--env", environment, "--wait", "--server", &server.url]);
        let output = run.stdin(Stdio::null()).output().unwrap();
        let all = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(0), "{environment}: {all}");
        let said = format!("{users} {} {account} http://{environment}\n", namespace.name);
        assert!(all.contains(&said), "{environment}: {all}");
    }
}
