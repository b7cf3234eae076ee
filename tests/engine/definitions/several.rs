//! All that is wrong with one text, one rule or one value is told at once.

use super::hidden::{all, document};
use super::problems::of_spec;

#[test]
fn every_expression_of_a_text_is_looked_at() {
    insta::assert_snapshot!(of_spec("JobTemplate", "
  params: [{name: url}, {name: key, type: secret}, {name: vus, type: integer}]
  job:
    spec:
      template:
        spec:
          containers:
            - name: main
              image: '{{ params.zz }} {{ params.ulr }}'
              command: ['{{ params.zz }}', '{{ params.vus }}', '{{ params.zz }} x', '{{ params.url }}']
              args: ['{{ evnt.x }} {{ git.brnch }} {{ git.sha }}', '{{ params.key }} {{ params.zz }}']
"), @r"
        a.yaml:12:22: spec.job.spec.template.spec.containers[0].image: may not hold {{ }} unless allow.images says which values it may take
        a.yaml:12:22: spec.job.spec.template.spec.containers[0].image: there is no param ulr (did you mean url?)
        a.yaml:12:22: spec.job.spec.template.spec.containers[0].image: there is no param zz
        a.yaml:13:25: spec.job.spec.template.spec.containers[0].command[0]: there is no param zz
        a.yaml:13:64: spec.job.spec.template.spec.containers[0].command[2]: may not hold {{ }}: only env values, args, labels and annotations may, or a whole integer or boolean param
        a.yaml:13:64: spec.job.spec.template.spec.containers[0].command[2]: there is no param zz
        a.yaml:13:85: spec.job.spec.template.spec.containers[0].command[3]: may not hold {{ }}: only env values, args, labels and annotations may, or a whole integer or boolean param
        a.yaml:14:22: spec.job.spec.template.spec.containers[0].args[0]: {{ evnt.x }} speaks of evnt; there are event, git, params, matrix, run, trigger (did you mean event?); {{ git.brnch }} never has a value: git has no brnch (did you mean git.branch?): there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message
        a.yaml:14:68: spec.job.spec.template.spec.containers[0].args[1]: the secret key may stand only as a whole env value: {{ params.key }}
        a.yaml:14:68: spec.job.spec.template.spec.containers[0].args[1]: there is no param zz
        ");
}

#[test]
fn all_that_is_wrong_with_one_text_is_told() {
    insta::assert_snapshot!(of_spec("JobTemplate", "
  params: [{name: port, type: integer}]
  job:
    spec:
      template:
        spec:
          serviceAccountName: '{{ evnt.x }}'
          containers:
            - name: main
              image: 'a:{{- git.sha -}} ${{ evnt.x }} {% if x %} {# no #} {{ event.data.x | uper }} {{'
              workingDir: '{{ parms.port }}'
              command: ['{{ parms.port }}', 'x {{ parms.port }}', sh, -c, '{{ evnt.x ~ foo.y ~ git.brnch }}']
              env: [{name: A, value: '$({{ evnt.x }}'}]
"), @r"
        a.yaml:10:31: spec.job.spec.template.spec.serviceAccountName: may not hold {{ }} unless allow.serviceAccounts says which values it may take
        a.yaml:10:31: spec.job.spec.template.spec.serviceAccountName: {{ evnt.x }} speaks of evnt; there are event, git, params, matrix, run, trigger (did you mean event?)
        a.yaml:13:22: spec.job.spec.template.spec.containers[0].image: holds {%: only expressions in {{ }} are allowed; holds {# #}: only expressions in {{ }} are allowed; has {{- or -}}, which are not supported: begin and end with a blank; has a $ directly before {{: it would change the meaning of the value; {{ evnt.x }} speaks of evnt; there are event, git, params, matrix, run, trigger (did you mean event?); {{ event.data.x | uper }} never has a value: there is no filter uper (did you mean upper?); has a {{ without its }}
        a.yaml:13:22: spec.job.spec.template.spec.containers[0].image: may not hold {{ }} unless allow.images says which values it may take
        a.yaml:14:27: spec.job.spec.template.spec.containers[0].workingDir: {{ parms.port }} speaks of parms; there are event, git, params, matrix, run, trigger (did you mean params?)
        a.yaml:15:25: spec.job.spec.template.spec.containers[0].command[0]: {{ parms.port }} speaks of parms; there are event, git, params, matrix, run, trigger (did you mean params?)
        a.yaml:15:45: spec.job.spec.template.spec.containers[0].command[1]: may not hold {{ }}: only env values, args, labels and annotations may, or a whole integer or boolean param
        a.yaml:15:45: spec.job.spec.template.spec.containers[0].command[1]: {{ parms.port }} speaks of parms; there are event, git, params, matrix, run, trigger (did you mean params?)
        a.yaml:15:75: spec.job.spec.template.spec.containers[0].command[4]: a value may not become code: put it into an env value and use that
        a.yaml:15:75: spec.job.spec.template.spec.containers[0].command[4]: {{ evnt.x ~ foo.y ~ git.brnch }} speaks of evnt; there are event, git, params, matrix, run, trigger (did you mean event?); {{ evnt.x ~ foo.y ~ git.brnch }} speaks of foo; there are event, git, params, matrix, run, trigger; {{ evnt.x ~ foo.y ~ git.brnch }} never has a value: git has no brnch (did you mean git.branch?): there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message
        a.yaml:16:38: spec.job.spec.template.spec.containers[0].env[0].value: has {{ }} within $( ): a value may not choose a variable
        a.yaml:16:38: spec.job.spec.template.spec.containers[0].env[0].value: {{ evnt.x }} speaks of evnt; there are event, git, params, matrix, run, trigger (did you mean event?)
        ");
    insta::assert_snapshot!(of_spec("Trigger", "
  runs:
    - {template: smoke, environment: staging, namespace: 'a-{{ evnt.x }}'}
  gate: {http: [{url: 'ftp://me@a/{{ evnt.x }}{{ params.y }}'}]}
"), @r"
        a.yaml:6:58: spec.runs[0].namespace: may not hold {{ }} unless allow.namespaces says which values it may take
        a.yaml:6:58: spec.runs[0].namespace: {{ evnt.x }} speaks of evnt; there are event, git, params, matrix, run, trigger (did you mean event?)
        a.yaml:7:23: spec.gate.http[0].url: {{ evnt.x }} speaks of evnt; there are event, git, trigger (did you mean event?); {{ params.y }}: params is not known here; there are event, git, trigger; holds a user's name or password, which would be told in decisions; must begin with http:// or https://
        ");
}

#[test]
fn what_an_expression_never_finds_is_told_however_it_is_written() {
    insta::assert_snapshot!(of_spec("JobTemplate", "
  params: [{name: url}, {name: key, type: secret}]
  job:
    spec:
      template:
        spec:
          containers:
            - name: main
              image: i
              args:
                - \"{{ git['nope'] }} {{ event['dataa'].x }} {{ git['sha']['x'] }} {{ git[event.data.x] }} {{ event.data['x']['y'] }}\"
                - \"{{ event() }} {{ git.sha() }} {{ event.data.x[0]() }} {{ range(3) | list }}\"
                - \"{{ event.data.x | map('uper') | select('od') | selectattr('x', 'evn') | rejectattr('x') | map(attribute='x') | list }}\"
                - \"{{ [evnt.x, git.a] }} {{ {'a': git.b} }} {{ (git.c if git.d else git.e) ~ -git.f }} {{ event.data.x[git.g:] }} {{ git.h is od }}\"
                - \"{{ git | attr('shaa') }} {{ self.x() }} {{ event.data | attr('x') }}\"
                - \"{{ none }} {{ params['ulr'] }} {{ params['key'] }} {{ params['url'] }}\"
"), @r"
        a.yaml:14:19: spec.job.spec.template.spec.containers[0].args[0]: {{ git['nope'] }} never has a value: git has no nope: there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message; {{ event['dataa'].x }} never has a value: event has no dataa (did you mean event.data?): there are specversion, id, source, type, subject, time, datacontenttype, data; {{ git['sha']['x'] }} never has a value: git.sha is one value: there is no x in it
        a.yaml:15:19: spec.job.spec.template.spec.containers[0].args[1]: {{ event() }} never has a value: event is no function; {{ git.sha() }} never has a value: no value has a function sha(); {{ event.data.x[0]() }} never has a value: no value is a function
        a.yaml:16:19: spec.job.spec.template.spec.containers[0].args[2]: {{ event.data.x | map('uper') | select('od') | selectattr('x', 'evn') | rejectattr('x') | map(attribute='x') | list }} never has a value: there is no filter uper (did you mean upper?); there is no test od (did you mean odd?); there is no test evn (did you mean even?)
        a.yaml:17:19: spec.job.spec.template.spec.containers[0].args[3]: {{ [evnt.x, git.a] }} speaks of evnt; there are event, git, params, matrix, run, trigger (did you mean event?); {{ [evnt.x, git.a] }} never has a value: git has no a: there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message; {{ {'a': git.b} }} never has a value: git has no b: there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message; {{ (git.c if git.d else git.e) ~ -git.f }} never has a value: git has no d: there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message; git has no c: there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message; git has no e: there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message; git has no f: there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message; {{ event.data.x[git.g:] }} never has a value: git has no g: there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message; {{ git.h is od }} never has a value: git has no h: there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message; there is no test od (did you mean odd?)
        a.yaml:18:19: spec.job.spec.template.spec.containers[0].args[4]: {{ git | attr('shaa') }} never has a value: git has no shaa (did you mean git.sha?): there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message; {{ self.x() }} speaks of self; there are event, git, params, matrix, run, trigger
        a.yaml:19:19: spec.job.spec.template.spec.containers[0].args[5]: the secret key may stand only as a whole env value: {{ params.key }}
        a.yaml:19:19: spec.job.spec.template.spec.containers[0].args[5]: there is no param ulr (did you mean url?)
        a.yaml:19:19: spec.job.spec.template.spec.containers[0].args[5]: {{ none }} never has a value: none is no value
        ");
    insta::assert_snapshot!(of_spec("Trigger", "
  match:
    - cel: \"git.nope == 'x' || event.dataa.x == 1 || has(git.shaa) || event.type.x == 'y' || git['brnch'] == 'z'\"
    - cel: \"event.data.items.exist(c, c.x == git.nope) || event.data.map(git.nop)\"
    - cel: \"event.data.nope.x == 1 && event['data'].x == git['sha'] && event.traceparent != ''\"
  runs: [{template: smoke, environment: staging}]
"), @r"
        a.yaml:6:12: spec.match[0].cel: git.nope is never there: git has no nope: there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message; event.dataa.x is never there: event has no dataa (did you mean event.data?): there are specversion, id, source, type, subject, time, datacontenttype, data; has git.shaa is never there: git has no shaa (did you mean git.sha?): there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message; event.type.x is never there: event.type is one value: there is no x in it; git.brnch is never there: git has no brnch (did you mean git.branch?): there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message
        a.yaml:7:12: spec.match[1].cel: exist() is not known (did you mean exists()?); git.nope is never there: git has no nope: there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message; map() is not written like this: for instance event.data.items.map(x, x.id); git.nop is never there: git has no nop: there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message
        ");
}

#[test]
fn of_very_much_that_is_wrong_with_one_text_it_is_told_how_much_more_there_is() {
    let roots: Vec<String> = (0..14).map(|at| format!("{{{{ x{at} }}}}")).collect();
    let params: Vec<String> = (0..14).map(|at| format!("{{{{ params.p{at} }}}}")).collect();
    let spec = format!(
        "\n  job: {{spec: {{template: {{spec: {{containers: [{{name: main, image: i, args: ['{}', '{}']}}]}}}}}}}}\n",
        roots.join(" "),
        params.join(" ")
    );
    let told = of_spec("JobTemplate", &spec);
    assert!(told.contains("{{ x9 }} speaks of x9; there are") && !told.contains("{{ x13 }}"), "{told}");
    assert!(told.contains("; and 4 more"), "{told}");
    assert!(told.contains("args[1]: 4 further params are not there, or may not stand here"), "{told}");
    assert_eq!(told.lines().count(), 1 + 10 + 1, "{told}");
}

#[test]
fn a_text_may_have_so_many_expressions() {
    let of = |text: &str| {
        of_spec(
            "JobTemplate",
            &format!(
                "\n  job: {{spec: {{template: {{spec: {{containers: [{{name: main, image: i, args: {text}}}]}}}}}}}}\n"
            ),
        )
    };
    assert_eq!(of(&format!("['{}']", "{{ git.sha }}".repeat(100))), "");
    insta::assert_snapshot!(of(&format!("['{}']", "{{ git.sha }}".repeat(140_000))), @r"
        a.yaml:5:77: spec.job.spec.template.spec.containers[0].args[0]: has more than 100 {{ }}: write fewer
        ");
    assert_eq!(of(&format!("[{}]", "'{{ git.sha }}', ".repeat(1_000))), "");
    insta::assert_snapshot!(of(&format!("[{}]", "'{{ git.sha }}', ".repeat(1_001))), @"a.yaml:5:8: spec.job: has {{ }} in more than 1000 places: write fewer");
    // Nor is one searched again for each of its comments.
    assert_eq!(of(&format!("['{}']", "{#".repeat(500_000))), "");
}

#[test]
fn all_that_is_wrong_with_one_rule_is_told() {
    insta::assert_snapshot!(of_spec("Trigger", "
  match:
    - path: data.x[?match(@.a, 'b') && search(@.c, 'd') && length(@.*) > 1]
      exists: true
    - cel: \"evnt.x == foo.y || event.data.a.matches('(') || git.branch.lowr() == bar.z || event.data.l.exsts(x, x.a)\"
    - cel: \"size(evnt.x)\"
    - cel: \"event.data.has(q.y) && qq.z\"
  runs: [{template: smoke, environment: staging}]
"), @r#"
        a.yaml:6:13: spec.match[0].path: match() and search() are not supported: use the operator matches; length() takes one value: a path of names and indexes; "data.x[?match(@.a, 'b') && search(@.c, 'd') && length(@.*) > 1]" must start with event or git (did you mean event.data.x[?match(@.a, 'b') && search(@.c, 'd') && length(@.*) > 1]?)
        a.yaml:8:12: spec.match[1].cel: evnt is not known: there are event and git (did you mean event?); foo is not known: there are event and git (did you mean event.data.foo?); "(" is not a regular expression; lowr() is not known; bar is not known: there are event and git (did you mean event.data.bar?); exsts() is not known (did you mean exists()?)
        a.yaml:9:12: spec.match[2].cel: gives a number or text, never true or false: compare it with something; evnt is not known: there are event and git (did you mean event?)
        a.yaml:10:12: spec.match[3].cel: has() is not written like this: for instance has(event.data.x); qq is not known: there are event and git (did you mean event.data.qq?)
        "#);
}

#[test]
fn all_that_is_wrong_with_one_value_is_told() {
    let template = "
  params:
    - {name: mode, pattern: 'x+', enum: [xa, xb], default: c}
  results: {outputs: a}
  job: {spec: {template: {spec: {containers: [{name: main, image: i, command: [c]}]}}}}
";
    insta::assert_snapshot!(all(&document("JobTemplate", "Probe-with-a-name-that-is_too-long", template)), @r#"
        JobTemplate/Probe-with-a-name-that-is_too-long metadata.name: "Probe-with-a-name-that-is_too-long" is not a name: lower-case letters, digits and, between them, -; it may have up to 30 characters, has 34
        JobTemplate/Probe-with-a-name-that-is_too-long spec.params[0].default: "c" does not match x+, and is not one of "xa", "xb"
        JobTemplate/Probe-with-a-name-that-is_too-long spec.results.outputs: "a" is not the absolute path of a file: write for instance /tmp/outputs.json
        "#);
    insta::assert_snapshot!(of_spec("Trigger", "
  sources:
    - schedule: {cron: '61 * * * *', timeZone: Mars/Base}
    - kubernetes: {apiVersion: a b, kind: not-one, change: [Created]}
    - kubernetesEvent: {involvedObject: {apiVersion: a b, kind: not-one}}
  runs: [{template: smoke, environment: staging}]
  policy: {debounce: {quiet: 1234567890ms, maxWait: 1s1s1s1s1s1s}}
"), @r#"
        a.yaml:6:24: spec.sources[0].schedule.cron: "61 * * * *" is no cron pattern: Component error: Number out of bounds.; write for instance "30 2 * * *"
        a.yaml:6:48: spec.sources[0].schedule.timeZone: there is no time zone "Mars/Base" (write for instance Europe/Berlin or UTC)
        a.yaml:7:32: spec.sources[1].kubernetes.apiVersion: "a b" is no group and version: write v1, or group/version as apps/v1
        a.yaml:7:43: spec.sources[1].kubernetes.kind: "not-one" is no kind: letters and digits, as Deployment
        a.yaml:8:54: spec.sources[2].kubernetesEvent.involvedObject.apiVersion: "a b" is no group and version: write v1, or group/version as apps/v1
        a.yaml:8:65: spec.sources[2].kubernetesEvent.involvedObject.kind: "not-one" is no kind: letters and digits, as Deployment
        a.yaml:10:30: spec.policy.debounce.quiet: "1234567890ms" is not a duration: write for instance 30s, 5m, 1h30m or 500ms
        a.yaml:10:53: spec.policy.debounce.maxWait: "1s1s1s1s1s1s" is not a duration: write for instance 30s, 5m, 1h30m or 500ms
        "#);
    insta::assert_snapshot!(of_spec("Webhook", "
  provider: gthub
  secrets: [{env: A}]
  maxBody: '9999999999999999'
  auth: {idPath: 'a[', idHeader: 'b c', scheme: Token}
"), @r#"
        a.yaml:5:13: spec.provider: "gthub" is not one of github, gitlab, bitbucket, gitea, slack, stripe, standard, cloudevents, hmac, token (did you mean github?)
        a.yaml:7:12: spec.maxBody: "9999999999999999" has more than 15 digits: write for instance 25Mi
        a.yaml:8:10: spec.auth.idPath: "a[" is no path to one place: write for instance event.id or items[0].id
        a.yaml:8:10: spec.auth.idPath: a webhook of provider github has no idPath here
        a.yaml:8:10: spec.auth.idPath: give idHeader or idPath, not both
        a.yaml:8:24: spec.auth.idHeader: "b c" is no name of an HTTP header
        a.yaml:8:24: spec.auth.idHeader: a webhook of provider github has no idHeader here
        a.yaml:8:41: spec.auth.scheme: a webhook of provider github has no scheme here
        "#);
}
