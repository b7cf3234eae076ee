//! A real Kubernetes cluster for suites, as `tests/servers` starts it.
//!
//! It owns one cluster for the whole process, started by the first test that asks, and clusters of a test's
//! own. How it is started is not known here: `tests/servers serve` does it and takes it down when its
//! standard input ends. The other end of that pipe is held here, so the cluster goes when this process does,
//! whether its tests pass, panic or are killed. `KICKOFF_TEST_KUBECONFIG` names a cluster to be used in place
//! of the shared one, and `KICKOFF_TEST_BUSYBOX` an image that it can pull; tests that harm a cluster or have
//! fake nodes go on to need one of their own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longest that a test waits for a pod: two cores run all suites at once.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// The node with the kubelet, in a cluster that was started here.
pub const NODE: &str = "node";

/// A cluster, until dropped if it is one's own.
pub struct Cluster {
    pub kubeconfig: PathBuf,
    /// A static busybox with a shell and the usual commands, as pods name it.
    pub busybox: String,
    kubectl: PathBuf,
    /// `tests/servers`; none if the cluster was there before.
    supervisor: Option<Child>,
}

/// The cluster of all suites, which real pods share: a test has a namespace of its own, and harms no part.
///
/// Its controllers work without their usual limits.
pub fn cluster() -> &'static Cluster {
    static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| match existing() {
        Some(cluster) => Ok(cluster),
        None => Cluster::start(servers().args(["serve", "cluster", "--fast"])),
    });
    shared.as_ref().unwrap_or_else(|error| panic!("{error}"))
}

/// The script that starts servers.
pub fn servers() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers"))
}

fn existing() -> Option<Cluster> {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let kubeconfig = PathBuf::from(of("KICKOFF_TEST_KUBECONFIG")?);
    assert!(kubeconfig.is_file(), "KICKOFF_TEST_KUBECONFIG is {}, no file", kubeconfig.display());
    let assets = of("KUBEBUILDER_ASSETS").map(|folder| PathBuf::from(folder).join("kubectl"));
    let busybox = of("KICKOFF_TEST_BUSYBOX").map(|image| image.into_string().unwrap());
    Some(Cluster {
        kubeconfig,
        busybox: busybox.unwrap_or_else(|| "docker.io/library/busybox:1.36".to_owned()),
        kubectl: assets.unwrap_or_else(|| PathBuf::from("kubectl")),
        supervisor: None,
    })
}

impl Cluster {
    /// One for a test that harms its parts, or looks at its end; with further arguments of `serve`.
    pub fn own(arguments: &[&str]) -> Self {
        Self::start(servers().args(["serve", "cluster"]).args(arguments))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// One that a command starts: `tests/servers serve`.
    pub fn start(command: &mut Command) -> Result<Self, String> {
        // What it says to standard error is for who runs the tests: what to do, or that it builds.
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut supervisor = started.map_err(|error| {
            format!("tests/servers can't be started ({error}): it needs python3, 3.9 or newer")
        })?;
        let mut said = BufReader::new(supervisor.stdout.take().unwrap()).lines();
        let mut next = |name: &str| -> Option<PathBuf> {
            let line = said.next()?.ok()?;
            line.strip_prefix(name).map(PathBuf::from)
        };
        let (Some(kubeconfig), Some(kubectl)) = (next("KUBECONFIG="), next("KUBECTL=")) else {
            let status = supervisor.wait().map_err(|error| error.to_string())?;
            let told = "tests/servers has said why, above, and what to do";
            return Err(format!("no cluster of the tests' own could be started ({status}): {told}"));
        };
        let busybox = "kickoff.test/busybox:1".to_owned();
        Ok(Self { kubeconfig, busybox, kubectl, supervisor: Some(supervisor) })
    }

    /// The folder of a cluster that was started here.
    pub fn state(&self) -> &Path {
        assert!(
            self.supervisor.is_some(),
            "this test needs a cluster of the tests' own: unset KICKOFF_TEST_KUBECONFIG"
        );
        self.kubeconfig.parent().unwrap()
    }

    /// The supervisor of a cluster that was started here.
    pub fn supervisor(&mut self) -> &mut Child {
        self.supervisor.as_mut().expect("a cluster of the tests' own")
    }

    /// `kubectl` for this cluster.
    pub fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(arguments).env_remove("KUBECONFIG");
        command
    }

    /// What `kubectl` prints; panics unless it ends well.
    pub fn run(&self, arguments: &[&str]) -> String {
        succeed(&self.kubectl(arguments).stdin(Stdio::null()).output().unwrap(), arguments)
    }

    /// An object, or a list, as the API server has it.
    pub fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.run(&["get", "--raw", path])).unwrap()
    }

    /// Creates objects of a manifest.
    pub fn create(&self, manifest: &Value) {
        self.feed(&["create", "-f", "-"], manifest);
    }

    /// What the API server answers to an object that `kubectl` is to read with `-f -`.
    pub fn send(&self, arguments: &[&str], object: &Value) -> Value {
        serde_json::from_str(&self.feed(arguments, object)).unwrap()
    }

    fn feed(&self, arguments: &[&str], object: &Value) -> String {
        let mut feeding = self.kubectl(arguments);
        feeding.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = feeding.spawn().unwrap();
        child.stdin.take().unwrap().write_all(object.to_string().as_bytes()).unwrap();
        succeed(&child.wait_with_output().unwrap(), arguments)
    }

    /// A namespace of the test's own, deleted when dropped.
    pub fn namespace(&self) -> Namespace<'_> {
        let name = format!("test-{}", fastrand::u64(..));
        self.create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
        Namespace { cluster: self, name }
    }

    /// A command of `tests/servers tell`, for instance `kill kube-apiserver`.
    pub fn tell(&self, command: &str) {
        let mut stream = UnixStream::connect(self.state().join("control")).unwrap();
        writeln!(stream, "{command}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "ok\n", "{command}");
    }

    /// Makes an image of files, as `tests/servers image` does; the first is its entrypoint.
    pub fn image(&self, reference: &str, files: &[(&str, &Path)]) {
        let mut command = servers();
        command.args(["image", "--state"]).arg(self.state()).arg(reference);
        for (path, file) in files {
            let mut placed = std::ffi::OsString::from(format!("{path}="));
            placed.push(file);
            command.arg(placed);
        }
        succeed(&command.output().unwrap(), &["image", reference]);
    }

    /// Has the image that examples and what is deployed need no more than: a shell. A cluster that was there before
    /// pulls it.
    pub fn shipped_busybox(&self) {
        if self.supervisor.is_none() {
            return;
        }
        let path = std::env::var_os("PATH").unwrap();
        let busybox = std::env::split_paths(&path).map(|folder| folder.join("busybox"));
        let busybox =
            busybox.into_iter().find(|file| file.is_file()).expect("busybox: see tests/run --setup");
        let files = ["sh", "head", "wc"].map(|name| format!("/bin/{name}"));
        let files = files.each_ref().map(|to| (to.as_str(), busybox.as_path()));
        self.image("docker.io/library/busybox:1.37", &files);
    }

    /// Has at least so many nodes that run nothing; only pods with [`on_fake_nodes`] come there.
    pub fn fake_nodes(&self, count: usize) {
        self.tell(&format!("fake-nodes {count}"));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut supervisor) = self.supervisor.take() {
            drop(supervisor.stdin.take());
            drop(supervisor.wait());
        }
    }
}

/// What the spec of a pod says to run, or rather not to, on a fake node.
pub fn on_fake_nodes() -> Value {
    json!({
        "nodeSelector": {"type": "kwok"},
        "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}],
    })
}

/// Whether all that a Deployment asks for is there, in the words of `kubectl rollout status`.
pub fn is_out(object: &Value) -> bool {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let status = &object["status"];
    let updated = number(&status["updatedReplicas"]);
    number(&status["observedGeneration"]) >= number(&object["metadata"]["generation"])
        && updated >= number(&object["spec"]["replicas"])
        && number(&status["replicas"]) <= updated
        && number(&status["availableReplicas"]) >= updated
}

/// A namespace, deleted with all in it when dropped; that is not waited for.
pub struct Namespace<'cluster> {
    pub cluster: &'cluster Cluster,
    pub name: String,
}

impl Namespace<'_> {
    /// What `kubectl` prints here; panics unless it ends well.
    pub fn run(&self, arguments: &[&str]) -> String {
        self.cluster.run(&[&["--namespace", &self.name], arguments].concat())
    }

    /// Creates a Job of this name with this template's pod spec, and further fields of the Job's own spec.
    pub fn job(&self, name: &str, pod: &Value, further: &Value) {
        let mut spec = json!({"backoffLimit": 0, "template": {"spec": pod}});
        spec["template"]["spec"]["restartPolicy"] = json!("Never");
        merge(&mut spec, further);
        self.cluster.create(&json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "namespace": self.name},
            "spec": spec,
        }));
    }

    /// A Job, as the API server has it.
    pub fn get_job(&self, name: &str) -> Value {
        self.cluster.get(&format!("/apis/batch/v1/namespaces/{}/jobs/{name}", self.name))
    }

    /// The pods of a Job.
    pub fn pods(&self, job: &str) -> Vec<Value> {
        let selector = format!("labelSelector=batch.kubernetes.io/job-name={job}");
        let list = self.cluster.get(&format!("/api/v1/namespaces/{}/pods?{selector}", self.name));
        list["items"].as_array().unwrap().clone()
    }

    /// Waits until a Job is Complete or Failed, and gives which.
    pub fn ended(&self, job: &str) -> String {
        until(&format!("the end of {job}"), || {
            let conditions = self.get_job(job)["status"]["conditions"].as_array().cloned();
            let ended = |condition: &Value| {
                let kind = condition["type"].as_str().unwrap().to_owned();
                (condition["status"] == "True" && (kind == "Complete" || kind == "Failed")).then_some(kind)
            };
            conditions.unwrap_or_default().iter().find_map(ended)
        })
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        let mut deleting = self.cluster.kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
        drop(deleting.stdin(Stdio::null()).output());
    }
}

/// Waits until `found` gives something.
pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn merge(into: &mut Value, further: &Value) {
    match (into, further) {
        (Value::Object(into), Value::Object(further)) => {
            for (key, value) in further {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, further) => *into = further.clone(),
    }
}

fn succeed(output: &Output, arguments: &[&str]) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {}: {errors}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}
