//! What the suites may rely on in their cluster: pods run, end, are logged, and reach the API server.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::cluster::{NODE, cluster, on_fake_nodes};

fn shell(name: &str, script: &str) -> Value {
    json!({"name": name, "image": cluster().busybox, "command": ["sh", "-c", script]})
}

#[test]
fn a_job_ends_as_its_program_does_and_its_log_is_kept() {
    let namespace = cluster().namespace();
    let cases = [
        ("passes", "echo well", "well\n", "Complete", 0),
        ("fails", "echo ill; exit 3", "ill\n", "Failed", 3),
    ];
    for (name, script, said, ended, code) in cases {
        namespace.job(name, &json!({"containers": [shell("main", script)]}), &json!({}));
        assert_eq!(namespace.ended(name), ended, "{name}");
        let pods = namespace.pods(name);
        assert_eq!(pods.len(), 1, "{pods:#?}");
        let terminated = &pods[0]["status"]["containerStatuses"][0]["state"]["terminated"];
        assert_eq!(terminated["exitCode"], code, "{name}: {terminated}");
        let pod = pods[0]["metadata"]["name"].as_str().unwrap();
        let log = format!("/api/v1/namespaces/{}/pods/{pod}/log", namespace.name);
        assert_eq!(cluster().run(&["get", "--raw", &log]), said);
    }
}

#[test]
fn a_native_sidecar_outlives_the_main_container_and_sees_its_end() {
    let namespace = cluster().namespace();
    let wait = "trap 'echo the end; exit 0' TERM; echo the beginning; while true; do sleep 0.1; done";
    let mut sidecar = shell("sidecar", wait);
    sidecar["restartPolicy"] = json!("Always");
    let pod = json!({"initContainers": [sidecar], "containers": [shell("main", "sleep 0.5; echo done")]});
    namespace.job("watched", &pod, &json!({}));
    assert_eq!(namespace.ended("watched"), "Complete");
    assert_eq!(namespace.run(&["logs", "job/watched", "-c", "sidecar"]), "the beginning\nthe end\n");
    assert_eq!(namespace.run(&["logs", "job/watched", "-c", "main"]), "done\n");
}

#[test]
fn a_pod_reaches_the_api_server_by_its_service_account() {
    let namespace = cluster().namespace();
    let script = "cd /var/run/secrets/kubernetes.io/serviceaccount && test -s ca.crt && test -s token && \
                  cat namespace && echo && nc -w 5 $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT </dev/null";
    namespace.job("inside", &json!({"containers": [shell("main", script)]}), &json!({}));
    assert_eq!(namespace.ended("inside"), "Complete", "{}", namespace.run(&["logs", "job/inside"]));
    assert_eq!(namespace.run(&["logs", "job/inside"]).trim(), namespace.name);
}

#[test]
fn the_binary_under_test_runs_in_a_pod() {
    let image = "kickoff.test/kickoff:1";
    cluster().image(image, &[("/bin/kickoff", Path::new(env!("CARGO_BIN_EXE_kickoff")))]);
    let namespace = cluster().namespace();
    let main = json!({"name": "main", "image": image, "args": ["--version"]});
    namespace.job("itself", &json!({"containers": [main]}), &json!({}));
    assert_eq!(namespace.ended("itself"), "Complete");
    let version = concat!("kickoff ", env!("CARGO_PKG_VERSION"));
    assert!(namespace.run(&["logs", "job/itself"]).starts_with(version));
}

#[test]
fn a_pod_may_be_restricted() {
    let namespace = cluster().namespace();
    namespace.run(&["label", "namespace", &namespace.name, "pod-security.kubernetes.io/enforce=restricted"]);
    let script = "id -u; touch /it 2>/dev/null || echo read-only; grep Seccomp: /proc/self/status";
    let mut main = shell("main", script);
    main["securityContext"] = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "runAsUser": 65534,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    namespace.job("restricted", &json!({"containers": [main]}), &json!({}));
    assert_eq!(namespace.ended("restricted"), "Complete");
    assert_eq!(namespace.run(&["logs", "job/restricted"]), "65534\nread-only\nSeccomp:\t2\n");
}

#[test]
fn pods_are_limited_in_memory() {
    let namespace = cluster().namespace();
    let mut main = shell("main", "head -c 200000000 /dev/zero | tail");
    main["resources"] = json!({"limits": {"memory": "32Mi"}});
    namespace.job("greedy", &json!({"containers": [main]}), &json!({}));
    assert_eq!(namespace.ended("greedy"), "Failed");
    let status = &namespace.pods("greedy")[0]["status"]["containerStatuses"][0];
    let terminated = &status["state"]["terminated"];
    assert_eq!(terminated["reason"], "OOMKilled", "{terminated}");
}

#[test]
fn only_who_asks_for_fake_nodes_is_on_one() {
    cluster().fake_nodes(2);
    let namespace = cluster().namespace();
    let nothing = json!({"name": "main", "image": "kickoff.test/there-is-none:1"});
    let mut faked = on_fake_nodes();
    faked["containers"] = json!([nothing]);
    namespace.job("faked", &faked, &json!({"completions": 20, "parallelism": 20}));
    namespace.job("real", &json!({"containers": [shell("main", "echo real")]}), &json!({}));
    assert_eq!((namespace.ended("faked"), namespace.ended("real")), ("Complete".into(), "Complete".into()));
    let nodes = |job: &str| -> Vec<String> {
        let of = |pod: &Value| pod["spec"]["nodeName"].as_str().unwrap().to_owned();
        namespace.pods(job).iter().map(of).collect()
    };
    assert_eq!(nodes("real"), [NODE]);
    assert_eq!(nodes("faked").len(), 20);
    assert!(nodes("faked").iter().all(|node| node.starts_with("fake-")), "{:?}", nodes("faked"));
}
