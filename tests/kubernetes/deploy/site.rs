//! A copy of `deploy/` with secrets of its own, applied once to the suites' cluster, and a way to its server.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::shipped::{project, read};
use crate::support::cluster::{NODE, PATIENCE, cluster};
use crate::support::{client, kickoff, sign};

/// What was applied. It stays until the cluster goes, which is the tests' own.
pub(super) struct Deployed {
    folder: tempfile::TempDir,
    token: String,
}

/// Deploys at the first call.
pub(super) fn deployed() -> &'static Deployed {
    static SHARED: OnceLock<Deployed> = OnceLock::new();
    SHARED.get_or_init(|| {
        let mut deployed = Deployed::files();
        deployed.images();
        disk();
        deployed.token = deployed.follow_readme();
        deployed
    })
}

/// What a folder's kustomization makes, in the order of its kinds and names.
pub(super) fn objects(folder: &Path) -> Vec<Value> {
    let text = cluster().run(&["kustomize", folder.to_str().unwrap()]);
    serde_saphyr::from_multiple(&text).unwrap()
}

/// Waits until `found` gives something.
pub(super) async fn eventually<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = found().await {
            return value;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

impl Deployed {
    /// Only the files.
    pub(super) fn files() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(project("deploy")).arg(folder.path());
        assert!(copy.status().unwrap().success());
        let deployed = Self { folder, token: format!("{:032x}", fastrand::u128(..)) };
        let secrets = deployed.deploy().join("secrets");
        // With a person's own, where there are any.
        std::fs::remove_dir_all(&secrets).unwrap();
        std::fs::create_dir(&secrets).unwrap();
        std::fs::write(secrets.join("github"), "planted\n").unwrap();
        let hash = hex::encode(Sha256::digest(&deployed.token));
        let tokens = format!("- {{name: me, role: admin, sha256: {hash}}}\n");
        std::fs::write(secrets.join("tokens.yaml"), tokens).unwrap();
        deployed
    }

    /// The copy.
    pub(super) fn deploy(&self) -> PathBuf {
        self.folder.path().join("deploy")
    }

    /// What a webhook's sender signs with.
    pub(super) fn secret(&self) -> String {
        std::fs::read_to_string(self.deploy().join("secrets/github")).unwrap().trim().to_owned()
    }

    /// The server's.
    pub(super) fn deployment(&self) -> Value {
        let mut objects = objects(&self.deploy()).into_iter();
        objects.find(|object| object["kind"] == "Deployment").unwrap()
    }

    /// Images with the names of the manifests: no registry has them.
    fn images(&self) {
        let deployment = self.deployment();
        let image = deployment.pointer("/spec/template/spec/containers/0/image").unwrap().as_str().unwrap();
        let files = super::image::files(self.folder.path());
        let files: Vec<_> = files.iter().map(|(to, from)| (to.as_str(), from.as_path())).collect();
        cluster().image(image, &files);
        cluster().shipped_busybox();
    }

    pub(super) fn apply(&self) {
        cluster().run(&["apply", "-k", self.deploy().to_str().unwrap()]);
    }

    /// Types what the README says, as it stands; gives the token.
    fn follow_readme(&self) -> String {
        let readme = read("README.md");
        let (_, section) = readme.split_once("### The same on a cluster").unwrap();
        let (_, block) = section.split_once("```sh\n").unwrap();
        let (block, _) = block.split_once("```").unwrap();
        assert!(block.contains("kubectl apply -k deploy\n"), "{block}");
        let kubectl = "kubectl() { \"$KUBECTL\" \"$@\"; }";
        let mut typed = Command::new("sh");
        typed.args(["-e", "-c", &format!("{kubectl}\n{block}\necho \"token $KICKOFF_TOKEN\"")]);
        typed.env("KUBECTL", cluster().kubectl(&[]).get_program()).env("KUBECONFIG", &cluster().kubeconfig);
        let output = typed.current_dir(self.folder.path()).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said.lines().find_map(|line| line.strip_prefix("token ")).unwrap().to_owned()
    }

    /// A kustomization beside the copy.
    pub(super) fn overlay(&self, name: &str, kustomization: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("kustomization.yaml"), kustomization).unwrap();
        folder
    }

    /// Changes a file of the copy.
    pub(super) fn edit(&self, file: &str, change: impl FnOnce(&str) -> String) {
        let file = self.deploy().join(file);
        let text = std::fs::read_to_string(&file).unwrap();
        let changed = change(&text);
        assert_ne!(changed, text, "nothing to change in {}", file.display());
        std::fs::write(file, changed).unwrap();
    }
}

/// A disk for the claim, as a provisioner of a cluster would make it.
fn disk() {
    std::fs::DirBuilder::new().mode(0o700).create(volume()).unwrap();
    cluster().create(&json!({"apiVersion": "v1", "kind": "PersistentVolume",
    "metadata": {"name": "kickoff-data"},
    "spec": {
        "capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"],
        "claimRef": {"namespace": "kickoff", "name": "kickoff-data"},
        "local": {"path": volume()},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}]}]}},
    }}));
}

/// Where the cluster's node has the server's data.
pub(super) fn volume() -> PathBuf {
    cluster().state().join("kickoff-data")
}

/// What `kubectl` prints in the server's namespace.
pub(super) fn run(arguments: &[&str]) -> String {
    cluster().run(&[&["--namespace", "kickoff"], arguments].concat())
}

/// The server's pod, once there is one that is ready.
pub(super) fn pod() -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let pods = cluster().get("/api/v1/namespaces/kickoff/pods");
        let pods = pods["items"].as_array().unwrap();
        if let Some(pod) = pods.iter().find(|pod| is_ready(pod)) {
            return pod.clone();
        }
        assert!(Instant::now() < end, "no pod of the server is ready:\n{}", run(&["get", "events"]));
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let ready = |it: &Value| it["type"] == "Ready" && it["status"] == "True";
    conditions.iter().any(ready) && pod["metadata"].get("deletionTimestamp").is_none()
}

/// Has the kubelet look after the pod now: by itself it does so once in a minute.
pub(super) fn nudge() {
    let name = pod()["metadata"]["name"].as_str().unwrap().to_owned();
    let moment = format!("nudged={}", fastrand::u64(..));
    run(&["annotate", "pod", &name, "--overwrite", &moment]);
}

/// How many Jobs there are for tests.
pub(super) fn jobs() -> usize {
    let jobs = cluster().get("/apis/batch/v1/namespaces/kickoff-tests/jobs");
    jobs["items"].as_array().unwrap().len()
}

/// `kubectl port-forward` to the Service, while it lives.
pub(super) struct Forward<'deployed> {
    deployed: &'deployed Deployed,
    process: Child,
    /// It writes a line for each connection, and ends where it can't.
    _said: BufReader<ChildStdout>,
    url: String,
}

impl<'deployed> Forward<'deployed> {
    /// Once the server is ready.
    pub(super) fn to(deployed: &'deployed Deployed) -> Self {
        pod();
        let mut command =
            cluster().kubectl(&["--namespace", "kickoff", "port-forward", "service/kickoff", ":80"]);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let address = line.strip_prefix("Forwarding from ").and_then(|rest| rest.split(' ').next());
        let url = format!("http://{}", address.unwrap_or_else(|| panic!("it said {line:?}")));
        Self { deployed, process, _said: said, url }
    }

    /// Sends a push; gives the status and the event's key.
    pub(super) async fn deliver(&self, id: &str, secret: &str, body: &str) -> (u16, String) {
        let request = client().post(format!("{}/hooks/github", self.url)).body(body.to_owned());
        let sent = request
            .header("content-type", "application/json")
            .header("x-github-event", "push")
            .header("x-github-delivery", id)
            .header("x-hub-signature-256", sign(secret, body.as_bytes()))
            .send()
            .await
            .unwrap();
        let (status, receipt) = (sent.status().as_u16(), sent.json::<Value>().await.unwrap());
        (status, receipt["event"].as_str().unwrap_or_default().to_owned())
    }

    async fn get(&self, path: &str) -> Value {
        let request = client().get(format!("{}/api/v1/{path}", self.url)).bearer_auth(&self.deployed.token);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.unwrap()
    }

    /// The only run of an event, once all that is to be kept of it is.
    pub(super) async fn settled(&self, event: &str) -> Value {
        eventually("a run", async || {
            let page = self.get(&format!("runs?event={event}")).await;
            let run = &page["items"][0];
            (run["state"] == "settled").then(|| run.clone())
        })
        .await
    }

    /// What was decided about an event by the only trigger.
    pub(super) async fn decision(&self, event: &str) -> Value {
        eventually("a decision", async || {
            let decision = self.get(&format!("events/{event}")).await["decisions"][0]["decision"].clone();
            decision.is_string().then_some(decision)
        })
        .await
    }

    /// What `kickoff logs` shows.
    pub(super) fn log(&self, run: &Value) -> String {
        let mut logs = kickoff();
        logs.args(["logs", run["id"].as_str().unwrap(), "--server", &self.url]);
        let output = logs.env("KICKOFF_TOKEN", &self.deployed.token).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Forward<'_> {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
