//! What stands below a misspelt name is looked at as well, and told by the name that is written.

use super::hidden::{all, document};
use super::problems::{of_spec, problems};
use super::{TEMPLATE, TRIGGER, WEBHOOK, snapshot};

#[test]
fn what_stands_below_a_misspelt_field_is_looked_at() {
    let trigger = "
  sorces: [{webhok: {nme: nobody, evnts: [push.*]}}]
  match: [{pth: git.brnch, exists: true}]
  runz: [{tmplate: smok}, {template: smoke, paramz: {ulr: x, vus: many}}]
  polcy: {concurency: {limit: 0, key: '{{ evnt.x }}'}, debounce: {quite: 1x}}
";
    insta::assert_snapshot!(of_spec("Trigger", trigger), @r#"
        a.yaml:5:3: spec.sorces: unknown field; the fields here are gate, git, match, policy, runs, series, sources, suspend (did you mean sources?)
        a.yaml:5:13: spec.sorces[0].webhok: unknown field; the fields here are kubernetes, kubernetesEvent, nats, schedule, verdict, webhook (did you mean webhook?)
        a.yaml:5:22: spec.sorces[0].webhok.nme: unknown field; the fields here are branches, events, name, paths, repositories (did you mean name?)
        a.yaml:5:27: spec.sorces[0].webhok.nme: there is no Webhook called "nobody"
        a.yaml:5:35: spec.sorces[0].webhok.evnts: unknown field; the fields here are branches, events, name, paths, repositories (did you mean events?)
        a.yaml:5:43: spec.sorces[0].webhok.evnts[0]: takes no *: a bare name covers all its actions
        a.yaml:6:12: spec.match[0].pth: unknown field (did you mean path?)
        a.yaml:6:17: spec.match[0].pth: "git.brnch" is never there: git has no brnch (did you mean git.branch?): there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message
        a.yaml:7:3: spec.runz: unknown field; the fields here are gate, git, match, policy, runs, series, sources, suspend (did you mean runs?)
        a.yaml:7:11: spec.runz[0].tmplate: unknown field; the fields here are environment, matrix, name, namespace, params, template (did you mean template?)
        a.yaml:7:20: spec.runz[0].tmplate: there is no JobTemplate called "smok" (did you mean smoke?)
        a.yaml:7:45: spec.runz[1].paramz: unknown field; the fields here are environment, matrix, name, namespace, params, template (did you mean params?)
        a.yaml:7:54: spec.runz[1].paramz.ulr: the template has no param called "ulr"; it has url, vus (did you mean url?)
        a.yaml:7:67: spec.runz[1].paramz.vus: "many" is not an integer
        a.yaml:8:3: spec.polcy: unknown field; the fields here are gate, git, match, policy, runs, series, sources, suspend (did you mean policy?)
        a.yaml:8:11: spec.polcy.concurency: unknown field; the fields here are concurrency, debounce, priority, rateLimit (did you mean concurrency?)
        a.yaml:8:31: spec.polcy.concurency.limit: must be at least 1, is 0
        a.yaml:8:39: spec.polcy.concurency.key: {{ evnt.x }} speaks of evnt; there are event, git, trigger (did you mean event?)
        a.yaml:8:67: spec.polcy.debounce.quite: unknown field; the fields here are maxWait, quiet (did you mean quiet?)
        a.yaml:8:74: spec.polcy.debounce.quite: "1x" is not a duration: write for instance 30s, 5m, 1h30m or 500ms
        "#);
    let template = "
  parms: [{name: vus, type: integer, defualt: many}, {nam: url}]
  timout: 0s
  job: {spec: {template: {spec: {containers: [{name: main, image: '{{ git.sha }}', args: ['{{ params.vus }} {{ params.ulr }}']}]}}}}
";
    insta::assert_snapshot!(of_spec("JobTemplate", template), @r#"
        a.yaml:5:3: spec.parms: unknown field; the fields here are allow, environments, job, namespace, params, results, retention, retries, startTimeout, timeout (did you mean params?)
        a.yaml:5:38: spec.parms[0].defualt: unknown field; the fields here are default, description, enum, maximum, minimum, name, pattern, required, type (did you mean default?)
        a.yaml:5:47: spec.parms[0].defualt: "many" is not an integer
        a.yaml:5:55: spec.parms[1].nam: unknown field; the fields here are default, description, enum, maximum, minimum, name, pattern, required, type (did you mean name?)
        a.yaml:6:3: spec.timout: unknown field; the fields here are allow, environments, job, namespace, params, results, retention, retries, startTimeout, timeout (did you mean timeout?)
        a.yaml:6:11: spec.timout: must be more than 0s
        a.yaml:7:67: spec.job.spec.template.spec.containers[0].image: may not hold {{ }} unless allow.images says which values it may take
        a.yaml:7:91: spec.job.spec.template.spec.containers[0].args[0]: there is no param ulr (did you mean url?)
        "#);
}

#[test]
fn what_stands_below_a_misspelt_field_of_the_job_is_looked_at() {
    insta::assert_snapshot!(of_spec("JobTemplate", "
  job:
    spec:
      tempalte:
        sepc:
          restartPolcy: Always
          contaners:
            - {nme: '', imge: '{{ git.sha }}', comand: [sh, -c, 'echo {{ git.sha }}'], agrs: [5]}
            - {name: a, image: i, envv: [{name: A, valu: '{{ params.x }}'}, {name: A, vlaueFrom: {secretKeyReff: {name: '{{ git.sha }}'}}}]}
      backofLimit: '{{ git.sha }}'
"), @r#"
        a.yaml:7:7: spec.job.spec.tempalte: Kubernetes knows no such field here (did you mean template?)
        a.yaml:8:9: spec.job.spec.tempalte.sepc: Kubernetes knows no such field here (did you mean spec?)
        a.yaml:9:11: spec.job.spec.tempalte.sepc.restartPolcy: Kubernetes knows no such field here (did you mean restartPolicy?)
        a.yaml:9:25: spec.job.spec.tempalte.sepc.restartPolcy: must be Never or OnFailure for a Job
        a.yaml:10:11: spec.job.spec.tempalte.sepc.contaners: Kubernetes knows no such field here (did you mean containers?)
        a.yaml:11:16: spec.job.spec.tempalte.sepc.contaners[0].nme: Kubernetes knows no such field here (did you mean name?)
        a.yaml:11:21: spec.job.spec.tempalte.sepc.contaners[0].nme: is missing
        a.yaml:11:25: spec.job.spec.tempalte.sepc.contaners[0].imge: Kubernetes knows no such field here (did you mean image?)
        a.yaml:11:31: spec.job.spec.tempalte.sepc.contaners[0].imge: may not hold {{ }} unless allow.images says which values it may take
        a.yaml:11:48: spec.job.spec.tempalte.sepc.contaners[0].comand: Kubernetes knows no such field here (did you mean command?)
        a.yaml:11:65: spec.job.spec.tempalte.sepc.contaners[0].comand[2]: a value may not become code: put it into an env value and use that
        a.yaml:11:65: spec.job.spec.tempalte.sepc.contaners[0].comand[2]: may not hold {{ }}: only env values, args, labels and annotations may, or a whole integer or boolean param
        a.yaml:11:88: spec.job.spec.tempalte.sepc.contaners[0].agrs: Kubernetes knows no such field here (did you mean args?)
        a.yaml:11:95: spec.job.spec.tempalte.sepc.contaners[0].agrs[0]: must be a text: write "5" in quotes
        a.yaml:12:35: spec.job.spec.tempalte.sepc.contaners[1].envv: Kubernetes knows no such field here (did you mean env?)
        a.yaml:12:52: spec.job.spec.tempalte.sepc.contaners[1].envv[0].valu: Kubernetes knows no such field here (did you mean value?)
        a.yaml:12:58: spec.job.spec.tempalte.sepc.contaners[1].envv[0].valu: there is no param x
        a.yaml:12:84: spec.job.spec.tempalte.sepc.contaners[1].envv[1].name: another variable has this name
        a.yaml:12:87: spec.job.spec.tempalte.sepc.contaners[1].envv[1].vlaueFrom: Kubernetes knows no such field here (did you mean valueFrom?)
        a.yaml:12:99: spec.job.spec.tempalte.sepc.contaners[1].envv[1].vlaueFrom.secretKeyReff: Kubernetes knows no such field here (did you mean secretKeyRef?)
        a.yaml:12:121: spec.job.spec.tempalte.sepc.contaners[1].envv[1].vlaueFrom.secretKeyReff.name: may not hold {{ }} unless allow.secrets says which values it may take
        a.yaml:13:7: spec.job.spec.backofLimit: Kubernetes knows no such field here (did you mean backoffLimit?)
        a.yaml:13:20: spec.job.spec.backofLimit: may not hold {{ }}: only env values, args, labels and annotations may, or a whole integer or boolean param
        "#);
    // What stands beside it by its own name is what counts.
    insta::assert_snapshot!(of_spec("JobTemplate", "
  job:
    spec:
      template: {spec: {containers: [{name: main, image: i}], contaners: []}}
      tempalte: {}
"), @r"
        a.yaml:7:63: spec.job.spec.template.spec.contaners: Kubernetes knows no such field here (did you mean containers?)
        a.yaml:8:7: spec.job.spec.tempalte: Kubernetes knows no such field here (did you mean template?)
        ");
}

#[test]
fn a_word_that_is_misspelt_means_the_nearest() {
    let template = "
  params: [{name: n, type: intger, default: abc}]
  job: {spec: {template: {spec: {containers: {name: main, image: i}}, template2: {}}}}
";
    let trigger = "
  runs: [{template: probe, params: {n: many}}]
  policy: {concurrency: {limit: 0, whenFull: Que}}
";
    let text = document("JobTemplate", "probe", template) + &document("Trigger", "t", trigger);
    insta::assert_snapshot!(all(&text), @r#"
        JobTemplate/probe spec.params[0].type: "intger" is not one of string, integer, number, boolean, secret
        JobTemplate/probe spec.params[0].default: "abc" is not an integer
        JobTemplate/probe spec.job.spec.template.spec.containers: must be a list of containers: begin each with -
        Trigger/t spec.runs[0].template: JobTemplate/probe has a problem: spec.params[0].type: "intger" is not one of string, integer, number, boolean, secret (did you mean integer?)
        Trigger/t spec.runs[0].params.n: "many" is not an integer
        Trigger/t spec.policy.concurrency.limit: must be at least 1, is 0
        Trigger/t spec.policy.concurrency.whenFull: "Que" is not one of Queue, Skip, Replace
        "#);
}

#[test]
fn what_is_misspelt_can_still_be_no_list() {
    insta::assert_snapshot!(of_spec("Trigger", "
  runz: smoke
"), @r#"
        a.yaml:5:3: spec.runz: unknown field; the fields here are gate, git, match, policy, runs, series, sources, suspend (did you mean runs?)
        a.yaml:5:9: spec.runz: must be a list, is "smoke"
        "#);
}

#[test]
fn a_kind_that_is_misspelt_or_left_out_hides_nothing() {
    let trigger = |kind: &str, name: &str| {
        format!(
            "apiVersion: kickoff.dev/v1alpha1\n{kind}\n{name}\nspec:\n  sources: [{{webhook: {{name: nobody}}}}]\n  runs: [{{template: smok}}]\n"
        )
    };
    let name = "metadata: {name: t}";
    insta::assert_snapshot!(all(&trigger("kind: Triger", name)), @r#"
        Trigger/t kind: "Triger" is not known: write Webhook or JobTemplate or Trigger
        Trigger/t spec.sources[0].webhook.name: there is no Webhook called "nobody"
        Trigger/t spec.runs[0].template: there is no JobTemplate called "smok"
        "#);
    insta::assert_snapshot!(all(&trigger("kind: Pipeline", name)), @r#"
        Trigger/t kind: "Pipeline" is not known: write Webhook or JobTemplate or Trigger
        Trigger/t spec.sources[0].webhook.name: there is no Webhook called "nobody"
        Trigger/t spec.runs[0].template: there is no JobTemplate called "smok"
        "#);
    insta::assert_snapshot!(all(&trigger("knd: Trigger", name)), @r#"
        Trigger/t knd: unknown field; the fields here are apiVersion, kind, metadata, spec
        Trigger/t spec.sources[0].webhook.name: there is no Webhook called "nobody"
        Trigger/t spec.runs[0].template: there is no JobTemplate called "smok"
        "#);
    insta::assert_snapshot!(all(&trigger("", name)), @r#"
        Trigger/t kind: is missing: write Webhook or JobTemplate or Trigger
        Trigger/t spec.sources[0].webhook.name: there is no Webhook called "nobody"
        Trigger/t spec.runs[0].template: there is no JobTemplate called "smok"
        "#);
    insta::assert_snapshot!(all(&trigger("kind: Trigger", "metdata: {nme: A_}")), @r#"
        Trigger/A_ metdata: unknown field; the fields here are apiVersion, kind, metadata, spec
        Trigger/A_ metdata.nme: unknown field; the fields here are annotations, labels, name, namespace
        Trigger/A_ metdata.nme: "A_" is not a name: lower-case letters, digits and, between them, -
        Trigger/A_ spec.sources[0].webhook.name: there is no Webhook called "nobody"
        Trigger/A_ spec.runs[0].template: there is no JobTemplate called "smok"
        "#);
    // Also where it is told by a field that is misspelt.
    let spec = "apiVersion: kickoff.dev/v1alpha1\nmetadata: {name: t}\nsepc: {runs: [{template: smok}]}\n";
    insta::assert_snapshot!(all(spec), @r#"
        Trigger/t kind: is missing: write Webhook or JobTemplate or Trigger
        Trigger/t sepc: unknown field; the fields here are apiVersion, kind, metadata, spec
        Trigger/t sepc.runs[0].template: there is no JobTemplate called "smok"
        "#);
    let foreign =
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c}\nspec: {suspend: true, schedule: x}\n";
    insta::assert_snapshot!(all(foreign), @r#"
        - apiVersion: "batch/v1" is not known: write kickoff.dev/v1alpha1
        - kind: "CronJob" is not known: write Webhook or JobTemplate or Trigger
        "#);
    insta::assert_snapshot!(all("kind: {}\nspec: {}\n"), @r"
        - apiVersion: is missing: write kickoff.dev/v1alpha1
        - kind: a map is not known: write Webhook or JobTemplate or Trigger
        ");
    insta::assert_snapshot!(all("spec: {description: x}\nmetadata: {name: x}\n"), @r"
        - apiVersion: is missing: write kickoff.dev/v1alpha1
        - kind: is missing: write Webhook or JobTemplate or Trigger
        ");
}

#[test]
fn a_trigger_whose_kind_is_misspelt_is_not_taken_for_one_that_is_gone() {
    let files = |trigger: &str| format!("{WEBHOOK}---{TEMPLATE}---{trigger}");
    let good = snapshot(&[("a.yaml", &files(TRIGGER))], None);
    let bad = files(&TRIGGER.replace("kind: Trigger", "kind: Triger"));
    let bad = snapshot(&[("a.yaml", &bad)], Some(&good));
    let broken = bad.triggers[0].broken.as_deref();
    assert!(broken.is_some_and(|why| why.contains("\"Triger\" is not known")), "{broken:?}");
}

#[test]
fn what_speaks_of_a_document_finds_it_under_the_name_that_was_meant() {
    let text = document(
        "JobTemplate",
        "probe",
        "
  jb: {spec: {template: {spec: {containers: [{name: main, image: i, command: [c]}]}}}}
  params: [{name: url, requird: true}]
",
    ) + &document("Trigger", "t", "\n  runs: [{template: probe, params: {vus: 1}}]\n");
    insta::assert_snapshot!(all(&text), @r#"
        JobTemplate/probe spec.jb: unknown field; the fields here are allow, environments, job, namespace, params, results, retention, retries, startTimeout, timeout
        JobTemplate/probe spec.params[0].requird: unknown field; the fields here are default, description, enum, maximum, minimum, name, pattern, required, type
        Trigger/t spec.runs[0].template: JobTemplate/probe has a problem: spec.jb: unknown field; the fields here are allow, environments, job, namespace, params, results, retention, retries, startTimeout, timeout (did you mean job?)
        Trigger/t spec.runs[0].params.url: is missing: JobTemplate/probe requires it
        Trigger/t spec.runs[0].params.vus: the template has no param called "vus"; it has url
        "#);
    insta::assert_snapshot!(problems(&TEMPLATE.replace("apiVersion", "apiversion").replace("default: 5", "default: x")), @r#"
        a.yaml:2:1: apiversion: unknown field; the fields here are apiVersion, kind, metadata, spec (did you mean apiVersion?)
        a.yaml:4:18: metadata.name: there is another JobTemplate called smoke at good.yaml:9:12
        a.yaml:8:43: spec.params[1].default: "x" is not an integer
        "#);
}
