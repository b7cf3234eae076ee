//! Where `{{ }}` may stand: by position, never by origin.

use serde_json::{Value, json};

use super::Case;

const EVENT: &str = "{{ event.data.v }}";
const WHOLE: &str = "{{ params.n }}";

/// A template whose Job has `value` at `pointer` below the pod's spec.
fn at(pointer: &str, value: &str) -> Case {
    let params = json!({"params": [{"name": "n", "type": "integer", "default": 5}, {"name": "s", "default": "x"},
                                   {"name": "b", "type": "boolean", "default": true}, {"name": "f", "type": "number", "default": 1.5}]});
    let mut case = Case::new(params, json!({}));
    let pod = &mut case.template["job"]["spec"]["template"]["spec"];
    if pointer.contains("/env/") {
        put(pod, "containers/0/env/0/name", "E");
    }
    put(pod, pointer, value);
    case
}

/// Sets what `pointer` names; makes maps and lists on the way.
fn put(place: &mut Value, pointer: &str, value: &str) {
    let (step, rest) = pointer.split_once('/').map_or((pointer, None), |(step, rest)| (step, Some(rest)));
    let below = match step.parse::<usize>() {
        Ok(index) => {
            if place.is_null() {
                *place = json!([]);
            }
            let items = place.as_array_mut().unwrap();
            while items.len() <= index {
                items.push(Value::Null);
            }
            &mut items[index]
        }
        Err(_) => &mut place[step],
    };
    match rest {
        Some(rest) => put(below, rest, value),
        None => *below = json!(value),
    }
}

/// In Argo Events a definition of a user could make any pod privileged (CVE-2025-32445): here no value
/// of an event reaches what gives power, whatever the template says around it.
#[test]
fn cve_2025_32445_an_event_reaches_nothing_that_gives_power() {
    for pointer in [
        "containers/0/name",
        "containers/0/image",
        "containers/0/imagePullPolicy",
        "containers/0/command/0",
        "containers/0/workingDir",
        "containers/0/env/0/name",
        "containers/0/env/0/valueFrom/secretKeyRef/name",
        "containers/0/env/0/valueFrom/secretKeyRef/key",
        "containers/0/env/0/valueFrom/configMapKeyRef/name",
        "containers/0/env/0/valueFrom/fieldRef/fieldPath",
        "containers/0/envFrom/0/secretRef/name",
        "containers/0/envFrom/0/configMapRef/name",
        "containers/0/envFrom/0/prefix",
        "containers/0/securityContext/runAsUser",
        "containers/0/securityContext/privileged",
        "containers/0/securityContext/capabilities/add/0",
        "containers/0/volumeMounts/0/mountPath",
        "containers/0/volumeMounts/0/subPath",
        "containers/0/resources/limits/memory",
        "containers/0/lifecycle/postStart/exec/command/0",
        "containers/0/livenessProbe/exec/command/0",
        "initContainers/0/image",
        "serviceAccountName",
        "serviceAccount",
        "nodeName",
        "nodeSelector/zone",
        "hostname",
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "runtimeClassName",
        "priorityClassName",
        "schedulerName",
        "securityContext/runAsUser",
        "securityContext/sysctls/0/value",
        "imagePullSecrets/0/name",
        "tolerations/0/value",
        "affinity/nodeAffinity/x",
        "volumes/0/name",
        "volumes/0/hostPath/path",
        "volumes/0/nfs/server",
        "volumes/0/csi/driver",
        "volumes/0/csi/nodePublishSecretRef/name",
        "volumes/0/persistentVolumeClaim/claimName",
        "volumes/0/secret/secretName",
        "volumes/0/configMap/name",
        "volumes/0/projected/sources/0/secret/name",
        "volumes/0/projected/sources/0/serviceAccountToken/audience",
        "aFieldOfTomorrow",
    ] {
        for value in [EVENT, "x-{{ event.data.v }}", "{{ params.s }}", "{{ params.f }}", "{{ params.n + 1 }}"]
        {
            let problems = at(pointer, value).problems();
            let told = problems.iter().any(|problem| problem.contains("may not hold {{ }}"));
            assert!(told, "{pointer}: {value} gave {problems:?}");
        }
    }
}

#[test]
fn a_whole_integer_or_boolean_param_keeps_its_type_where_it_can_do_no_harm() {
    for (pointer, value, wanted) in [
        ("containers/0/resources/limits/cpu", WHOLE, json!(5)),
        ("containers/0/ports/0/containerPort", "{{params.n}}", json!(5)),
        ("containers/0/tty", "{{ params.b }}", json!(true)),
        ("terminationGracePeriodSeconds", WHOLE, json!(5)),
        ("containers/0/command/0", WHOLE, json!("5")),
        ("containers/0/args/0", WHOLE, json!("5")),
        ("containers/0/env/0/value", WHOLE, json!("5")),
        ("containers/0/env/0/value", "{{ params.b }}", json!("true")),
    ] {
        let case = at(pointer, value);
        let manifest = case.render(json!({})).unwrap().manifest.job().unwrap();
        let given = manifest.pointer(&format!("/spec/template/spec/{pointer}"));
        let env = manifest.pointer("/spec/template/spec/containers/0/env").unwrap().as_array().unwrap();
        let given = if pointer.contains("/env/") { env.last().unwrap().get("value") } else { given };
        assert_eq!(given, Some(&wanted), "{pointer}");
    }
    for (pointer, value) in [
        ("securityContext/runAsUser", WHOLE),
        ("securityContext/runAsNonRoot", "{{ params.b }}"),
        ("containers/0/securityContext/privileged", "{{ params.b }}"),
        ("volumes/0/secret/defaultMode", WHOLE),
        ("volumes/0/emptyDir/sizeLimit", WHOLE),
        ("hostNetwork", "{{ params.b }}"),
        ("hostPID", "{{ params.b }}"),
        ("automountServiceAccountToken", "{{ params.b }}"),
        ("activeDeadlineSeconds", WHOLE),
    ] {
        assert!(!at(pointer, value).problems().is_empty(), "{pointer}");
    }
}

#[test]
fn what_allow_lists_may_be_chosen_by_an_event_and_nothing_else() {
    let lists = json!({"images": ["ghcr.io/acme/*", "busybox"], "serviceAccounts": ["tests-*"],
                       "secrets": ["shop-*"], "configMaps": ["cfg"]});
    for (pointer, list, good, bad) in [
        ("containers/0/image", "images", "ghcr.io/acme/shop", "ghcr.io/acme/a/b"),
        ("containers/0/image", "images", "busybox", "evil.example/ghcr.io/acme/shop"),
        ("containers/0/image", "images", "ghcr.io/acme/shop:1", "ghcr.io/acme/shop\n/x"),
        ("serviceAccountName", "serviceAccounts", "tests-1", "default"),
        ("imagePullSecrets/0/name", "secrets", "shop-pull", "admin"),
        ("containers/0/env/0/valueFrom/secretKeyRef/name", "secrets", "shop-db", "ship-db"),
        ("containers/0/envFrom/0/secretRef/name", "secrets", "shop-", ""),
        ("volumes/0/secret/secretName", "secrets", "shop-a", "a-shop-a"),
        ("volumes/0/projected/sources/0/secret/name", "secrets", "shop-a", "x"),
        ("containers/0/env/0/valueFrom/configMapKeyRef/name", "configMaps", "cfg", "cfg2"),
        ("containers/0/envFrom/0/configMapRef/name", "configMaps", "cfg", "CFG"),
        ("volumes/0/configMap/name", "configMaps", "cfg", "*"),
        ("volumes/0/projected/sources/0/configMap/name", "configMaps", "cfg", "c"),
    ] {
        let mut case = at(pointer, EVENT);
        case.template["allow"] = json!({list: lists[list]});
        let manifest = case.render(json!({"v": good})).unwrap().manifest.job().unwrap();
        let place = manifest.pointer(&format!("/spec/template/spec/{}", pointer.replace("env/0", "env/8")));
        assert_eq!(place.and_then(Value::as_str), Some(good), "{pointer} {manifest:#}");
        let error = case.render(json!({"v": bad})).expect_err(pointer);
        assert!(error.contains("is not allowed") && error.contains(list), "{pointer}: {error}");

        for other in
            ["images", "serviceAccounts", "secrets", "configMaps"].iter().filter(|other| **other != list)
        {
            case.template["allow"] = json!({*other: ["**"]});
            let problems = case.problems();
            assert!(problems[0].contains(&format!("unless allow.{list}")), "{pointer}: {problems:?}");
        }
    }
}

#[test]
fn a_value_never_becomes_code() {
    for (command, args) in [
        (json!(["sh", "-c"]), json!([EVENT])),
        (json!(["sh"]), json!(["-c", "echo {{ event.data.v }}"])),
        (json!(["bash", "-lc"]), json!(["run {{ params.n }}"])),
        (json!(["/bin/bash", "-euo", "pipefail", "-c"]), json!(["x", EVENT])),
        (json!(["bash", "-ce"]), json!([EVENT])),
        (json!(["test"]), json!(["-euc", "script", EVENT])),
        (json!(["python3"]), json!(["-c", EVENT])),
        (json!(["node"]), json!(["--eval", EVENT])),
        (json!(["node"]), json!(["--eval={{ event.data.v }}"])),
        (json!(["node"]), json!(["-p", EVENT])),
        (json!(["perl"]), json!(["-ne", EVENT])),
        (json!(["ruby"]), json!(["-e{{ event.data.v }}"])),
        (json!(["sh"]), json!(["-c{{ event.data.v }}"])),
        (json!(["x"]), json!(["eval {{ event.data.v }}"])),
        (json!(["x"]), json!(["eval", EVENT])),
        (json!(["ssh", "host"]), json!(["bash -c '{{ event.data.v }}'"])),
        (json!(["find", ".", "-exec"]), json!([EVENT])),
        (json!(["su", "--command"]), json!([EVENT])),
    ] {
        let problems = Case::new(
            json!({"params": [{"name": "n", "type": "integer"}]}),
            json!({"command": command, "args": args}),
        )
        .problems();
        assert!(
            problems.iter().any(|problem| problem.contains("put it into an env value")),
            "{command} {args}: {problems:?}"
        );
    }
    for (command, args) in [
        (json!(["k6", "run"]), json!(["--env", "X={{ event.data.v }}", EVENT])),
        (json!(["go", "test"]), json!(["-race", "-count=1", "-run", EVENT])),
        (json!(["sh", "run.sh"]), json!([EVENT, "-c", "x"])),
        (json!(["curl"]), json!(["-config={{ event.data.v }}"])),
        (json!(["sh", "-euc", "echo ${#A} {# $B"]), json!(["x"])),
    ] {
        let case = Case::new(json!({}), json!({"command": command, "args": args}));
        assert_eq!(case.problems(), Vec::<String>::new(), "{command} {args}");
    }
}

#[test]
fn expressions_that_can_not_be_right_are_refused_with_what_was_meant() {
    for (text, message) in [
        (
            "{{ evnt.data.v }}",
            "spec.job.spec.template.spec.containers[0].env[0].value: {{ evnt.data.v }} speaks of evnt; there are event, git, params, matrix, run, trigger (did you mean event?)",
        ),
        ("{{ params.nn }}", "there is no param nn (did you mean n?)"),
        ("{{ params.other | default('x') }}", "there is no param other"),
        ("{{ env.HOME }}", "speaks of env"),
        ("{% for a in event %}", "holds {%"),
        ("{# no #}", "holds {# #}"),
        ("${{ event.data.v }}", "has a $ directly before {{"),
        ("$({{ event.data.v }})", "within $( )"),
        ("$$({{ params.n }}) $(A{{ event.data.v }}", "within $( )"),
        ("{{ event.data.v", "has a {{ without its }}"),
        ("{{ event.data.v }", "has a {{ without its }}"),
        ("{{ 'a }}", "has a {{ without its }}"),
        ("{{ }}", "has an empty {{ }}"),
        ("{{ event. }}", "is not an expression"),
        ("{{ event.data.v | uper }}", "there is no filter uper (did you mean upper?)"),
        ("{{ 'a' if event.data.v is strng else 'b' }}", "there is no test strng (did you mean string?)"),
        ("{{ 'a' if event.data.v else event.data.w | nothing }}", "there is no filter nothing"),
        ("{{ event.data.v.upper() }}", "no value has a function upper(): write | upper"),
        ("{{ rnge(3) | list }}", "speaks of rnge"),
    ] {
        let problems = at("containers/0/env/0/value", text).problems();
        assert!(problems.iter().any(|problem| problem.contains(message)), "{text}: {problems:?}");
    }
    for text in
        ["$$({{ event.data.v }})", "$(A) {{ event.data.v }}", "a $ {{ event.data.v }}", "{\"a\":{\"b\":1}}"]
    {
        let case = Case::env(json!({}), &[text]);
        assert_eq!(case.problems(), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn keys_are_never_rendered() {
    for field in ["labels", "annotations"] {
        let mut case = Case::env(json!({}), &[]);
        case.template["job"]["metadata"] = json!({field: {EVENT: "x"}});
        let problems = case.problems();
        assert!(problems.iter().any(|problem| problem.contains("a key may not hold {{ }}")), "{problems:?}");
    }
}

#[test]
fn the_allow_lists_are_globs() {
    let mut case = Case::env(json!({}), &[]);
    case.template["allow"] = json!({"images": ["ok", "[z-a]", "?".repeat(20_000)]});
    let problems = case.problems();
    for told in [
        "spec.allow.images[1]: is not a glob: invalid range",
        "spec.allow.images[2]: is not a glob: compiles to more than 262144 bytes",
    ] {
        assert!(problems.iter().any(|problem| problem.starts_with(told)), "{problems:?}");
    }
}
