//! The cluster of the tests itself: it begins and ends as it should, and says what it lacks.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::cluster::{Cluster, servers, until};

/// All that an instance consists of, as the machine shows it.
#[derive(Debug, Default)]
struct Traces {
    /// Ids of processes in its namespaces, with when they began.
    processes: BTreeSet<(u32, String)>,
    /// Lines of /proc/mounts that are not this process's own.
    mounts: BTreeSet<String>,
    links: BTreeSet<PathBuf>,
    cgroups: BTreeSet<PathBuf>,
    state: PathBuf,
}

impl Traces {
    fn of(cluster: &Cluster) -> Self {
        let state = cluster.state().to_owned();
        let mut traces = Self { state, ..Self::default() };
        let mine = mounts("self").unwrap();
        let in_command = traces.state.to_str().unwrap().as_bytes().to_owned();
        // By its number inside: outside, ids start anew at the limit, and a child's may be the lower one.
        let first = processes().into_iter().find(|id| {
            let command = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            command.windows(in_command.len()).any(|part| part == in_command) && number_inside(*id) == Some(1)
        });
        // Pods have namespaces of their own below the instance's, so it is its descendants that count.
        let mut inside = BTreeSet::from([first.expect("the instance has a first process")]);
        while let Some(id) = processes()
            .into_iter()
            .find(|id| !inside.contains(id) && parent(*id).is_some_and(|parent| inside.contains(&parent)))
        {
            inside.insert(id);
        }
        for id in inside {
            traces.processes.extend(began(id).map(|began| (id, began)));
            traces.mounts.extend(mounts(&id.to_string()).unwrap_or_default().difference(&mine).cloned());
        }
        let link = format!("kickoff{}", traces.state.file_name().unwrap().to_str().unwrap());
        traces.links =
            [Path::new("/sys/class/net").join(link)].into_iter().filter(|link| link.exists()).collect();
        traces.cgroups = cgroups(&traces.state);
        traces
    }

    /// Those that are still there.
    fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        let lives = |(id, began): &&(u32, String)| self::began(*id).as_ref() == Some(began);
        left.extend(self.processes.iter().filter(lives).map(|found| format!("process {found:?}")));
        let mounts = mounts("self").unwrap();
        left.extend(self.mounts.intersection(&mounts).map(|mount| format!("mount {mount}")));
        let ours = |mount: &&String| mount.contains(self.state.to_str().unwrap());
        left.extend(mounts.iter().filter(ours).map(|mount| format!("mount {mount}")));
        let gone = |path: &&PathBuf| path.exists();
        left.extend(
            self.links.iter().chain(&self.cgroups).filter(gone).map(|path| path.display().to_string()),
        );
        left
    }
}

fn processes() -> Vec<u32> {
    let names = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).collect()
}

/// A process's id in the innermost of its namespaces.
fn number_inside(id: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.split_whitespace().last()?.parse().ok()
}

/// When a process began, in ticks, unless it has ended.
fn began(id: u32) -> Option<String> {
    let fields = stat(id)?;
    (fields[0] != "Z").then(|| fields[19].clone())
}

fn parent(id: u32) -> Option<u32> {
    stat(id)?[1].parse().ok()
}

/// What /proc/ID/stat says after the program's name.
fn stat(id: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

fn mounts(process: &str) -> Option<BTreeSet<String>> {
    let text = fs::read_to_string(format!("/proc/{process}/mounts")).ok()?;
    Some(text.lines().map(str::to_owned).collect())
}

fn children(folder: impl AsRef<Path>) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Of the instance's containers.
fn cgroups(state: &Path) -> BTreeSet<PathBuf> {
    let tasks = children(state.join("tasks/io.containerd.runtime.v2.task/k8s.io"));
    let top = Path::new("/sys/fs/cgroup");
    let hierarchies: Vec<_> = children(top).into_iter().chain([top.to_owned()]).collect();
    let of = |task: &PathBuf| {
        let name = task.file_name().unwrap().to_owned();
        hierarchies.iter().map(move |hierarchy| hierarchy.join("k8s.io").join(&name)).collect::<Vec<_>>()
    };
    tasks.iter().flat_map(of).filter(|cgroup| cgroup.is_dir()).collect()
}

/// Has a pod with a volume in memory run, that would do so for long, and gives all traces of the cluster.
fn busy(cluster: &Cluster) -> Traces {
    let main = json!({"name": "main", "image": cluster.busybox, "command": ["sleep", "1000"],
        "volumeMounts": [{"name": "memory", "mountPath": "/memory"}]});
    let memory = json!({"name": "memory", "emptyDir": {"medium": "Memory"}});
    let namespace = cluster.namespace();
    namespace.job("long", &json!({"containers": [main], "volumes": [memory]}), &json!({}));
    until("a running pod", || {
        let pods = namespace.pods("long");
        pods.iter().any(|pod| pod["status"]["phase"] == "Running").then_some(())
    });
    let traces = Traces::of(cluster);
    // Else nothing would be left because nothing was looked at.
    // Process 1, six parts, the pod's shim and its two containers.
    assert!(traces.processes.len() >= 10, "{traces:#?}");
    assert!(traces.mounts.iter().any(|mount| mount.contains("kubernetes.io~empty-dir")), "{traces:#?}");
    assert!(!traces.links.is_empty() && !traces.cgroups.is_empty(), "{traces:#?}");
    traces
}

/// Waits until the kernel has ended all that it ends by itself.
fn goes(traces: &Traces, but: &[&str]) {
    let left = || -> Vec<String> {
        let wanted = |found: &String| !but.iter().any(|part| found.contains(part));
        traces.left().into_iter().filter(wanted).collect()
    };
    let end = Instant::now() + Duration::from_secs(10);
    while !left().is_empty() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(left().is_empty(), "{:#?}", left());
}

/// A cache folder of its own, so that `up` and `down` are not those of a person, with the programs in it.
fn cache() -> tempfile::TempDir {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = of("XDG_CACHE_HOME").unwrap_or_else(|| of("HOME").unwrap().join(".cache"));
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("kickoff-tests");
    fs::create_dir(&own).unwrap();
    symlink(cache.join("kickoff-tests/cluster"), own.join("cluster")).unwrap();
    folder
}

#[test]
fn nothing_is_left_when_its_owner_ends() {
    let cluster = Cluster::own(&[]);
    let traces = busy(&cluster);
    drop(cluster);
    assert_eq!(traces.left(), [""; 0]);
    assert!(!traces.state.exists());
}

#[test]
fn all_ends_with_a_killed_supervisor_and_the_folder_goes_at_the_next_occasion() {
    let cache = cache();
    let mut cluster =
        Cluster::start(servers().args(["serve", "cluster"]).env("XDG_CACHE_HOME", cache.path())).unwrap();
    let traces = busy(&cluster);
    cluster.supervisor().kill().unwrap();
    goes(&traces, &["/sys/fs/cgroup"]);
    assert!(traces.state.exists());
    let down = servers().arg("down").env("XDG_CACHE_HOME", cache.path()).output().unwrap();
    assert!(down.status.success(), "{down:?}");
    assert_eq!(traces.left(), [""; 0]);
    assert!(!traces.state.exists());
}

#[test]
fn up_leaves_a_cluster_behind_and_down_removes_it() {
    let cache = cache();
    let run = |arguments: &[&str]| {
        // Waits for the end of what is printed: the cluster must not hold it open.
        let output = servers().args(arguments).env("XDG_CACHE_HOME", cache.path()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = run(&["up", "cluster"]);
    let variables: Vec<_> = said.lines().map(|line| line.split_once('=').unwrap()).collect();
    let [("KUBECONFIG", kubeconfig), ("KUBECTL", kubectl)] = variables[..] else { panic!("{said}") };
    assert_eq!(run(&["up", "cluster"]), said, "a second cluster");
    let mut get = Command::new(kubectl);
    get.args(["get", "nodes", "--output", "name"]).env("KUBECONFIG", kubeconfig);
    assert_eq!(String::from_utf8(get.output().unwrap().stdout).unwrap(), "node/node\n");
    run(&["down"]);
    assert!(!Path::new(kubeconfig).parent().unwrap().exists());
    assert!(!get.output().unwrap().status.success());
}

#[test]
fn a_part_that_ends_by_itself_ends_the_cluster() {
    let cluster = Cluster::own(&[]);
    let traces = Traces::of(&cluster);
    let is_etcd = |id: &&u32| fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default() == "etcd\n";
    let ids: Vec<u32> = traces.processes.iter().map(|(id, _)| *id).collect();
    let etcd = rustix::process::Pid::from_raw((*ids.iter().find(is_etcd).unwrap()).cast_signed()).unwrap();
    rustix::process::kill_process(etcd, rustix::process::Signal::KILL).unwrap();
    until("the end of the cluster", || (!traces.state.exists()).then_some(()));
    assert_eq!(traces.left(), [""; 0]);
}

#[test]
fn parts_are_killed_frozen_and_started_on_demand() {
    let cluster = Cluster::own(&[]);
    let answers = || {
        let mut get = cluster.kubectl(&["get", "--raw", "/readyz", "--request-timeout", "2s"]);
        get.stdin(Stdio::null()).output().unwrap().status.success()
    };
    for (away, back) in [("kill", "start"), ("freeze", "thaw")] {
        assert!(answers());
        cluster.tell(&format!("{away} kube-apiserver"));
        assert!(!answers(), "{away}");
        cluster.tell(&format!("{back} kube-apiserver"));
        until(back, || answers().then_some(()));
    }
}

/// In a process of its own, which could start no other cluster.
#[test]
fn a_cluster_that_was_there_before_is_used() {
    let cluster = Cluster::own(&["--fast"]);
    let kubectl = cluster.kubectl(&[]).get_program().to_owned();
    let test = "kubernetes::attempts::each_attempt_has_one_job_and_a_log_of_its_own";
    let run = |kubeconfig: &Path| {
        let mut suites = Command::new(std::env::current_exe().unwrap());
        suites.args(["--exact", test, "--nocapture"]).env("PATH", "");
        suites.env("KICKOFF_TEST_KUBECONFIG", kubeconfig).env("KICKOFF_TEST_BUSYBOX", &cluster.busybox);
        suites.env("KUBEBUILDER_ASSETS", Path::new(&kubectl).parent().unwrap()).output().unwrap()
    };
    let output = run(&cluster.kubeconfig);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
    let missing = run(Path::new("/there-is-none"));
    let said = String::from_utf8_lossy(&missing.stderr);
    assert!(said.contains("KICKOFF_TEST_KUBECONFIG is /there-is-none, no file"), "{missing:?}");
}

/// Python itself, not a script that looks for it.
fn python() -> PathBuf {
    let told = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
    PathBuf::from(String::from_utf8(told.stdout).unwrap().trim())
}

#[test]
fn what_is_missing_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = std::env::var_os("PATH").unwrap().into_string().unwrap() + ":/usr/sbin:/sbin";
    let tools = folder.path().join("tools");
    fs::create_dir(&tools).unwrap();
    for tool in ["mount", "unshare", "containerd", "ctr", "runc", "busybox"] {
        let found = std::env::split_paths(&path).map(|folder| folder.join(tool)).find(|file| file.is_file());
        symlink(
            found.unwrap_or_else(|| panic!("{tool} is missing: run ./tests/run --setup")),
            tools.join(tool),
        )
        .unwrap();
    }
    let empty = folder.path().to_str().unwrap();
    let tools = tools.to_str().unwrap();
    let check = |program: &[&str], variables: &[(&str, &str)], wanted: &[&str]| {
        let mut up = Command::new(program[0]);
        up.args(&program[1..])
            .args(["tests/servers", "up", "cluster"])
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        up.env("XDG_CACHE_HOME", empty).env_remove("KUBEBUILDER_ASSETS").envs(variables.iter().copied());
        let output = up.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for part in wanted {
            assert!(said.contains(part), "{part:?} is not in: {said}");
        }
    };
    let python = python();
    let python = [python.to_str().unwrap()];
    // As nobody, who may still read the tree.
    check(
        &["unshare", "--user", python[0]],
        &[],
        &["needs root", "run this as root", "KICKOFF_TEST_KUBECONFIG"],
    );
    check(&python, &[("KUBEBUILDER_ASSETS", empty)], &["etcd is not in it", "setup-envtest"]);
    check(&python, &[("PATH", "/nowhere")], &["containerd", "tests/servers setup", "busybox-static"]);
    check(&python, &[("PATH", tools)], &["go is missing", "https://go.dev/dl"]);
}
