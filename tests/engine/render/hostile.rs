//! Hostile values in every position: they arrive as they are, and change nothing else.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Case, facts};

/// Stands for the hostile value where a manifest is rendered without harm.
const HARMLESS: &str = "Harmless";

/// The value in every place that a manifest has for one.
fn everywhere() -> Case {
    let v = "{{ event.data.v }}";
    let mixed = "before {{ event.data.v }} after";
    let template = json!({
        "params": [{"name": "p"}],
        "allow": {"images": ["**"], "serviceAccounts": ["**"], "secrets": ["**"], "configMaps": ["**"]},
        "job": {
            "metadata": {"labels": {"a": v, "b": "x-{{ event.data.v }}-y"}, "annotations": {"a": v, "b": mixed}},
            "spec": {"template": {
                "metadata": {"labels": {"a": v}, "annotations": {"a": mixed}},
                "spec": {
                    "serviceAccountName": v,
                    "imagePullSecrets": [{"name": v}],
                    "volumes": [
                        {"name": "s", "secret": {"secretName": v}},
                        {"name": "c", "configMap": {"name": v}},
                        {"name": "p", "projected": {"sources": [{"secret": {"name": v}}, {"configMap": {"name": v}}]}},
                    ],
                    "initContainers": [{"name": "init", "image": v, "args": [v]}],
                },
            }},
        },
    });
    let container = json!({
        "image": "example.org/{{ event.data.v }}:1",
        "args": [v, mixed, "--x={{ event.data.v }}", "$(A) $$ {{ event.data.v }}{{ event.data.v }}"],
        "env": [
            {"name": "A", "value": v},
            {"name": "B", "value": mixed},
            {"name": "C", "value": "{{ params.p }}"},
            {"name": "D", "valueFrom": {"secretKeyRef": {"name": v, "key": "k"}}},
            {"name": "E", "valueFrom": {"configMapKeyRef": {"name": v, "key": "k"}}},
        ],
        "envFrom": [{"secretRef": {"name": v}}, {"configMapRef": {"name": v}}],
    });
    let mut case = Case::new(template, container).run(json!({"params": {"p": v}}));
    case.git.sha = Some(HARMLESS.to_owned());
    case
}

/// Compares leaf by leaf: where the harmless value stands the hostile one must, and all else is equal.
fn compare(path: &str, harmless: &Value, hostile: &Value, value: &str) {
    match (harmless, hostile) {
        (Value::Object(one), Value::Object(other)) => {
            assert!(one.keys().eq(other.keys()), "{path} has other keys");
            for (name, field) in one {
                compare(&format!("{path}/{name}"), field, &other[name], value);
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            assert_eq!(one.len(), other.len(), "{path}");
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{path}/{index}"), one, other, value);
            }
        }
        (Value::String(one), Value::String(other)) if path.contains("/labels/") && one.contains(HARMLESS) => {
            assert!(is_label(other), "{path} is {other:?}");
        }
        (Value::String(one), Value::String(other)) => {
            let expanded = path.contains("/args/") || (path.contains("/env/") && path.ends_with("/value"));
            let value = if expanded { value.replace('$', "$$") } else { value.to_owned() };
            assert_eq!(*other, one.replace(HARMLESS, &value), "{path}");
        }
        (one, other) => assert_eq!(one, other, "{path}"),
    }
}

/// As Kubernetes checks a label's value.
fn is_label(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    bytes.len() <= 63 && bytes.iter().all(inner) && edge(bytes.first()) && edge(bytes.last())
}

/// What a container gets of an argument or env value: kubelet's own expansion.
fn expanded(text: &str, lookup: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some((_, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            result.push_str(lookup);
            rest = after;
        } else {
            result.push('$');
        }
    }
    result + rest
}

fn hostile_values() -> impl Strategy<Value = String> {
    let nasty = prop::sample::select(vec![
        "\"",
        "'",
        "\\",
        "\n",
        "\r\n",
        "\t",
        ": ",
        "- ",
        "#",
        "{",
        "}",
        "[",
        "]",
        "&a",
        "*a",
        "!!js",
        "|",
        ">",
        "%",
        "@",
        "`",
        "$",
        "$$",
        "$(",
        "$(A)",
        "$$(A)",
        "${A}",
        "$(id)",
        "{{",
        "}}",
        "{{ git.sha }}",
        "{% raw %}",
        "{#",
        "#}",
        "\\u0000",
        "\0",
        "\u{1b}[31m",
        "\u{7f}",
        "\u{202e}",
        "\u{feff}",
        "ü",
        "日本",
        "🦀",
        "e\u{301}",
        "null",
        "true",
        "~",
        "1",
        "0x1f",
        "..",
        "/",
        "../../",
        ";",
        "&&",
        "zzz\";echo${IFS}\"hello\";#",
        "Revert \"x\"",
        "-",
        "--",
        " ",
        "a",
        "Z",
        "9",
        "_",
        ".",
    ]);
    let piece = prop_oneof![8 => nasty.prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from), 1 => "[ -~]{0,80}"];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_hostile_value_arrives_as_it_is_and_changes_nothing_else(value in hostile_values()) {
        let mut case = everywhere();
        let harmless = case.render(json!({"v": HARMLESS})).unwrap();
        case.git.sha = Some(value.clone());
        match case.render(json!({"v": value})) {
            Ok(rendered) => {
                prop_assert!(!value.contains('\0'));
                let manifest = rendered.manifest.job().unwrap();
                compare("", &harmless.manifest.job().unwrap(), &manifest, &value);
                prop_assert_eq!(&rendered.params["p"], &json!(value));
                let args = &manifest["spec"]["template"]["spec"]["containers"][0]["args"];
                let seen = |index: usize| expanded(args[index].as_str().unwrap(), "LOOKED UP");
                prop_assert_eq!(seen(0), value.clone());
                prop_assert_eq!(seen(3), format!("LOOKED UP $ {value}{value}"));
            }
            Err(reason) => prop_assert!(value.contains('\0') && reason.contains("NUL"), "{reason}"),
        }
    }

    #[test]
    fn a_concurrency_key_holds_the_value_as_it_is(value in hostile_values()) {
        let key = kickoff::engine::render::Text::compile_key("{{ git.branch }}#{{ event.data.v }}").unwrap();
        let trigger = kickoff::engine::ids::ObjectName::new("default", "t");
        let git = kickoff::engine::event::Git { branch: Some("$main".to_owned()), ..Default::default() };
        match key.render(&facts(&git, json!({"v": value})), &trigger) {
            Ok(key) => prop_assert_eq!(key, format!("$main#{value}")),
            Err(reason) => prop_assert!(value.contains('\0') && reason.contains("NUL"), "{reason}"),
        }
    }
}

#[test]
fn values_of_every_shape_stay_text_where_text_stands() {
    for value in [
        json!(1),
        json!(1.5),
        json!(true),
        json!(["a", {"b": null}]),
        json!({"secretKeyRef": {"name": "a", "key": "b"}}),
    ] {
        let case = Case::new(
            json!({}),
            json!({"args": ["{{ event.data.v }}"], "env": [{"name": "A", "value": "{{ event.data.v }}"}]}),
        );
        let rendered = case.render(json!({"v": value})).unwrap();
        let container = &rendered.manifest.job().unwrap()["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["args"], json!([value.to_string()]));
        assert_eq!(super::own_env(&rendered), [json!({"name": "A", "value": value.to_string()})]);
    }
}

/// Any field of a pod that a user could set gave a privileged one (in Argo Events). Here an event's value
/// and a param of text reach none of those that decide what a pod can do: refused when loading.
#[test]
fn cve_2025_32445_a_value_reaches_no_field_that_gives_a_pod_power() {
    let list = |inner: Value| json!([inner]);
    for value in ["{{ event.data.v }}", "{{ params.p }}", "x{{ event.data.v }}"] {
        let of_container = [
            json!({"securityContext": {"privileged": value}}),
            json!({"securityContext": {"runAsUser": value}}),
            json!({"securityContext": {"capabilities": {"add": [value]}}}),
            json!({"securityContext": value}),
            json!({"volumeMounts": list(json!({"name": "v", "mountPath": value}))}),
            json!({"volumeDevices": list(json!({"name": "v", "devicePath": value}))}),
            json!({"ports": list(json!({"hostPort": value}))}),
            json!({"lifecycle": {"postStart": {"exec": {"command": [value]}}}}),
            json!({"image": value}),
            json!({"command": [value]}),
        ];
        let of_pod = [
            json!({"hostNetwork": value}),
            json!({"hostPID": value}),
            json!({"serviceAccountName": value}),
            json!({"nodeName": value}),
            json!({"runtimeClassName": value}),
            json!({"securityContext": {"runAsUser": value}}),
            json!({"volumes": list(json!({"name": "v", "hostPath": {"path": value}}))}),
            json!({"volumes": list(json!({"name": "v", "secret": {"secretName": value}}))}),
            json!({"volumes": value}),
            json!({"automountServiceAccountToken": value}),
        ];
        let params = json!({"params": [{"name": "p", "default": "x"}]});
        let pods = of_pod.into_iter().map(|pod| json!({"job": {"spec": {"template": {"spec": pod}}}}));
        let pods = pods.map(|mut fields| {
            fields["params"] = params["params"].clone();
            Case::new(fields, json!({}))
        });
        let containers = of_container.into_iter().map(|fields| Case::new(params.clone(), fields));
        for case in containers.chain(pods) {
            let problems = case.problems();
            assert!(
                problems.iter().any(|problem| problem.contains("may not hold {{ }}")),
                "{case:?}: {problems:?}"
            );
        }
    }
}
