//! What a container is given, and what becomes of what it writes.

use kickoff::engine::verdict::Ended;
use kickoff::runs::executor::{Executor, ExecutorError};
use serde_json::{Value, json};

use super::stage::{LOG_CAP, Stage, broken, job, script, shell};

fn env_job(number: u32, env: &Value, script: &str) -> kickoff::runs::executor::JobSpec {
    let mut main = shell("main", script);
    main["env"] = env.clone();
    job(number, &json!({"containers": [main]}))
}

#[tokio::test]
async fn init_containers_run_first_and_in_order() {
    let stage = Stage::new();
    let pod = json!({
        "initContainers": [shell("one", "sleep 0.05; echo a > order"), shell("two", "echo b >> order; cat order")],
        "containers": [shell("main", "echo c >> order; cat order")],
    });
    let spec = job(1, &pod);
    assert_eq!(stage.run(&spec).await.ended, Ended::Exited(0));
    assert_eq!(stage.log(&spec.id).await, "[two] a\n[two] b\n[main] a\n[main] b\n[main] c\n");
}

#[tokio::test]
async fn a_failed_init_container_ends_the_run_before_the_test() {
    let stage = Stage::new();
    let pod =
        json!({"initContainers": [shell("setup", "exit 3")], "containers": [shell("main", "touch ran")]});
    let spec = job(1, &pod);
    let finished = stage.run(&spec).await;
    assert_eq!(broken(&finished), ("InitContainerFailed", "init container setup ended with exit code 3"));
    assert_eq!(finished.container.as_deref(), Some("setup"));
    assert!(!stage.folder(&spec.id).join("work/ran").exists());
}

#[tokio::test]
async fn a_sidecar_runs_beside_the_test_and_ends_with_it() {
    let stage = Stage::new();
    let mut sidecar =
        shell("side", "trap 'echo bye; exit 0' TERM; echo up; touch up; while :; do sleep 0.01; done");
    sidecar["restartPolicy"] = json!("Always");
    let main = shell("main", "while [ ! -e up ]; do sleep 0.01; done; echo tested");
    let spec = job(1, &json!({"initContainers": [sidecar], "containers": [main]}));
    assert_eq!(stage.run(&spec).await.ended, Ended::Exited(0));
    // The shell may add that its sleep was ended too.
    let log = stage.log(&spec.id).await;
    assert!(log.starts_with("[side] up\n[main] tested\n") && log.ends_with("[side] bye\n"), "{log}");
}

#[tokio::test]
async fn the_first_container_to_fail_decides_once_all_ended() {
    let stage = Stage::new();
    let pod = json!({"containers": [
        shell("slow", "while [ ! -e failed ]; do sleep 0.01; done; sleep 0.1; echo slow; exit 7"),
        shell("quick", "echo quick; touch failed; exit 5"),
        shell("good", "printf 'no newline'"),
    ]});
    let spec = job(1, &pod);
    let finished = stage.run(&spec).await;
    assert_eq!((finished.ended, finished.container.as_deref()), (Ended::Exited(5), Some("quick")));
    let log = stage.log(&spec.id).await;
    let mut lines: Vec<_> = log.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["[good] no newline", "[quick] quick", "[slow] slow"]);
}

#[tokio::test]
async fn hostile_values_arrive_as_they_are() {
    let stage = Stage::new();
    let hostile = "\"; rm -rf / #'\n$(touch pwned) `id` $HOME \\ \u{1f4a5}{{ x }} %s *";
    let doubled = hostile.replace('$', "$$");
    let pod = json!({"containers": [{
        "name": "main",
        "command": ["sh", "-c", "printf '%s|%s' \"$VALUE\" \"$1\"", "sh"],
        "args": [doubled],
        "env": [{"name": "VALUE", "value": doubled}],
    }]});
    let spec = job(1, &pod);
    assert_eq!(stage.run(&spec).await.ended, Ended::Exited(0));
    assert_eq!(stage.log(&spec.id).await, format!("{hostile}|{hostile}"));
    assert!(!stage.folder(&spec.id).join("work/pwned").exists());
}

#[tokio::test]
async fn references_expand_in_env_command_and_args() {
    let stage = Stage::new();
    let pod = json!({"containers": [{
        "name": "main", "command": ["$(SHELL_)", "-c"], "args": ["echo $(B) $(NONE_) $$(A) $(POD) $(APP)".replace("$(NONE_)", "'$(NONE_)'").replace("$$(A)", "'$$(A)'")],
        "env": [
            {"name": "SHELL_", "value": "sh"},
            {"name": "A", "value": "one"},
            {"name": "B", "value": "$(A)-two"},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        ],
    }]});
    let spec = job(1, &pod);
    assert_eq!(stage.run(&spec).await.ended, Ended::Exited(0));
    assert_eq!(stage.log(&spec.id).await, "one-two $(NONE_) $(A) default shop\n");
}

#[tokio::test]
async fn nothing_but_three_variables_and_a_mark_is_inherited() {
    let stage = Stage::new();
    // The shell adds some of its own, so the environment is read as it was given.
    let spec = script(1, "tr '\\0' '\\n' < /proc/$$/environ | sort");
    assert_eq!(stage.run(&spec).await.ended, Ended::Exited(0));
    let log = stage.log(&spec.id).await;
    let names: Vec<_> = log.lines().filter_map(|line| line.split('=').next()).collect();
    assert!(names.contains(&"PATH"), "{names:?}");
    assert!(
        names.iter().all(|name| ["PATH", "HOME", "TMPDIR", "KICKOFF_LOCAL_JOB"].contains(name)),
        "{names:?}"
    );
    assert!(std::env::vars_os().count() > names.len(), "this test has nothing to inherit");
}

#[tokio::test]
async fn secrets_and_config_maps_are_files() {
    let stage = Stage::new();
    stage.secret("db", "password", b"s3cret $(X)\n");
    stage.secret("settings", "LEVEL", b"debug");
    let env = json!([{"name": "PW", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]);
    let mut spec = env_job(1, &env, "printf '%s,%s' \"$PW\" \"$S_LEVEL\"");
    let mut manifest = spec.manifest.job().unwrap();
    manifest["spec"]["template"]["spec"]["containers"][0]["envFrom"] =
        json!([{"prefix": "S_", "configMapRef": {"name": "settings"}}]);
    spec.manifest = kickoff::engine::render::Manifest::of(&manifest).unwrap();
    assert_eq!(stage.run(&spec).await.ended, Ended::Exited(0));
    assert_eq!(stage.log(&spec.id).await, "s3cret $(X)\n,debug");
    let kept = std::fs::read_to_string(stage.folder(&spec.id).join("job.json")).unwrap();
    assert!(!kept.contains("s3cret"));
}

#[tokio::test]
async fn a_missing_secret_is_named() {
    let stage = Stage::new();
    let env = json!([{"name": "PW", "valueFrom": {"secretKeyRef": {"name": "db", "key": "../x"}}}]);
    let spec = env_job(1, &env, "touch ran");
    let finished = stage.run(&spec).await;
    let expected = "container main: key \"../x\" of Secret \"db\" not found";
    assert_eq!(broken(&finished), ("CreateContainerConfigError", expected));
    assert_eq!(finished.started_at, None);
    assert!(!stage.folder(&spec.id).join("work/ran").exists());
}

#[tokio::test]
async fn what_cannot_be_run_here_is_refused() {
    let stage = Stage::new();
    let mut mounted = shell("main", "true");
    mounted["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    for (number, container, said) in [
        (1, json!({"name": "k6", "image": "grafana/k6", "args": ["run"]}), "container k6 has no command"),
        (2, mounted, "volumeMount at \"/data\""),
    ] {
        let spec = job(number, &json!({"containers": [container]}));
        match stage.executor.create(&spec).await {
            Err(ExecutorError::Permanent { reason, message }) => {
                assert_eq!(reason, "unsupported");
                assert!(message.contains(said), "{message:?} lacks {said:?}");
            }
            other => panic!("{other:?}"),
        }
        assert!(!stage.folder(&spec.id).exists());
    }
}

#[tokio::test]
async fn a_command_that_is_not_there_cannot_start() {
    let stage = Stage::new();
    let pod =
        json!({"containers": [shell("good", "sleep 30"), {"name": "bad", "command": ["no-such-program"]}]});
    let finished = stage.run(&job(1, &pod)).await;
    let (reason, message) = broken(&finished);
    assert_eq!(reason, "StartError");
    assert!(message.contains("container bad: \"no-such-program\""), "{message}");
}

#[tokio::test]
async fn the_working_folder_is_the_named_one_where_it_exists() {
    let stage = Stage::new();
    for (number, wanted, expected) in [
        (1, stage.root.path().to_owned(), stage.root.path().to_owned()),
        (2, "/no/such/folder".into(), stage.folder(&super::stage::id(2)).join("work")),
    ] {
        let mut main = shell("main", "pwd -P");
        main["workingDir"] = json!(wanted);
        let spec = job(number, &json!({"containers": [main]}));
        assert_eq!(stage.run(&spec).await.ended, Ended::Exited(0));
        let expected = expected.canonicalize().unwrap();
        assert_eq!(stage.log(&spec.id).await, format!("{}\n", expected.display()));
    }
}

#[tokio::test]
async fn both_streams_are_kept_byte_for_byte_in_order() {
    let stage = Stage::new();
    let spec = script(1, "printf '\\000\\377a'; printf 'b\\r\\n\\200' >&2; printf 'c'");
    assert_eq!(stage.run(&spec).await.ended, Ended::Exited(0));
    assert_eq!(stage.log_bytes(&spec.id).await, b"\0\xffab\r\n\x80c");
}

#[tokio::test]
async fn a_log_beyond_its_cap_is_cut_and_the_test_goes_on() {
    let stage = Stage::new();
    let spec = script(1, "head -c 1000000 /dev/zero | tr '\\0' x; echo; touch wrote-all");
    assert_eq!(stage.run(&spec).await.ended, Ended::Exited(0));
    assert!(stage.folder(&spec.id).join("work/wrote-all").exists());
    let expected = format!(
        "{}\n[kickoff: the log was cut here: {LOG_CAP} bytes are kept]\n",
        "x".repeat(LOG_CAP.try_into().unwrap())
    );
    assert!(stage.log(&spec.id).await == expected);
}
