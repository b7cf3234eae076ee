//! The loader over real folders: changes are seen, a mounted `ConfigMap` swaps as a whole.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kickoff::app::definitions::{Loader, Origin};
use kickoff::engine::definitions::Snapshot;
use kickoff::engine::ids::ObjectName;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{TEMPLATE, TRIGGER, WEBHOOK, told};

/// A loader that runs, and what it publishes.
struct Running {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(folder: &Path) -> Self {
        let loader = loader(Origin::Folder(folder.to_owned()));
        let (sender, snapshots) = watch::channel(Arc::default());
        let cancel = CancellationToken::new();
        #[allow(clippy::disallowed_methods, reason = "this test is the supervisor")]
        let task = tokio::spawn(loader.run(sender, cancel.clone()));
        Self { snapshots, cancel, task }
    }

    async fn until(&mut self, what: &str, holds: impl FnMut(&Arc<Snapshot>) -> bool) -> Arc<Snapshot> {
        let waited = tokio::time::timeout(Duration::from_secs(20), self.snapshots.wait_for(holds)).await;
        Arc::clone(&waited.unwrap_or_else(|_| panic!("no snapshot with {what}")).unwrap())
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.task.await.unwrap();
    }
}

fn loader(origin: Origin) -> Loader {
    Loader::new(origin, "default")
        .with_environment(Arc::new(|name| (name == "GITHUB_SECRET").then(|| "a secret".to_owned())))
}

async fn once(origin: Origin) -> Arc<Snapshot> {
    loader(origin).load_once().await.unwrap().0
}

/// Makes the next state of a mounted `ConfigMap` the one that is seen, as kubelet does.
fn swap(mount: &Path, version: &str, files: &[(&str, &str)]) {
    let folder = mount.join(format!("..{version}"));
    fs::create_dir(&folder).unwrap();
    for (name, text) in files {
        fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
        fs::write(folder.join(name), text).unwrap();
    }
    symlink(format!("..{version}"), mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    for (name, _) in files {
        let top = name.split('/').next().unwrap();
        if !mount.join(top).exists() {
            symlink(format!("..data/{top}"), mount.join(top)).unwrap();
        }
    }
}

fn names(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.triggers.iter().map(|trigger| trigger.name.name.as_str()).collect()
}

#[tokio::test]
async fn a_mounted_config_map_is_read_once_and_swaps_as_a_whole() {
    let mount = tempfile::tempdir().unwrap();
    let triggers = format!("{TRIGGER}---{}", TRIGGER.replace("after-push", "second"));
    swap(
        mount.path(),
        "2026_01",
        &[("hook.yaml", WEBHOOK), ("sub/template.yml", TEMPLATE), ("t.yaml", TRIGGER)],
    );
    let mut running = Running::start(mount.path());
    let first = running.until("a trigger", |snapshot| !snapshot.triggers.is_empty()).await;
    assert_eq!(told(&first), "webhooks github\ntemplates smoke\ntriggers after-push");
    let files: Vec<&str> = first.documents.iter().map(|document| document.file.as_str()).collect();
    assert_eq!(files, ["hook.yaml", "sub/template.yml", "t.yaml"]);

    swap(
        mount.path(),
        "2026_02",
        &[("hook.yaml", WEBHOOK), ("sub/template.yml", TEMPLATE), ("t.yaml", &triggers)],
    );
    fs::remove_dir_all(mount.path().join("..2026_01")).unwrap();
    let second = running.until("two triggers", |snapshot| snapshot.triggers.len() == 2).await;
    assert!(second.problems.is_empty(), "{}", told(&second));
    assert!(Arc::ptr_eq(&first.triggers[0], &second.triggers[0]), "what did not change is the same");
    running.stop().await;
}

#[tokio::test]
async fn edits_new_files_and_removals_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), format!("{WEBHOOK}---{TEMPLATE}")).unwrap();
    let mut running = Running::start(folder.path());
    running.until("a webhook", |snapshot| snapshot.webhooks.len() == 1).await;
    let path = folder.path().join("b.yml");
    fs::write(&path, TRIGGER).unwrap();
    running.until("a new file", |snapshot| names(snapshot) == ["after-push"]).await;
    fs::write(&path, "{").unwrap();
    let broken = running.until("a problem", |snapshot| !snapshot.problems.is_empty()).await;
    assert!(broken.triggers[0].broken.is_some(), "{}", told(&broken));
    fs::write(&path, TRIGGER.replace("after-push", "renamed")).unwrap();
    running.until("another name", |snapshot| names(snapshot) == ["renamed"]).await;
    fs::remove_file(&path).unwrap();
    running.until("no trigger", |snapshot| snapshot.triggers.is_empty()).await;
    running.stop().await;
}

#[tokio::test]
async fn a_folder_that_goes_away_changes_nothing_until_it_is_back() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("definitions");
    let none = loader(Origin::Folder(folder.clone())).load_once().await.unwrap_err();
    assert!(none.to_string().ends_with("/definitions can't be read"), "{none}");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.yaml"), WEBHOOK).unwrap();
    let mut running = Running::start(&folder);
    let first = running.until("a webhook", |snapshot| snapshot.webhooks.len() == 1).await;
    fs::rename(&folder, parent.path().join("away")).unwrap();
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.yaml"), format!("{WEBHOOK}---{TEMPLATE}")).unwrap();
    let second = running.until("a template", |snapshot| snapshot.templates.len() == 1).await;
    assert_eq!(first.webhooks.len(), second.webhooks.len());
    running.stop().await;
}

#[tokio::test]
async fn secret_files_are_read_and_watched() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    let definitions = folder.path().join("definitions");
    fs::create_dir(&definitions).unwrap();
    let text = WEBHOOK.replace("env: GITHUB_SECRET", &format!("file: {}", secret.display()));
    fs::write(definitions.join("a.yaml"), text).unwrap();
    let name = ObjectName::new("default", "github");
    let state =
        |snapshot: &Arc<Snapshot>| snapshot.webhooks.get(&name).map(|webhook| webhook.verifier.is_ok());
    let mut running = Running::start(&definitions);
    running.until("no secret", |snapshot| state(snapshot) == Some(false)).await;
    fs::write(&secret, "hunter2\n").unwrap();
    running.until("the secret", |snapshot| state(snapshot) == Some(true)).await;
    fs::write(&secret, b"\xff\xfehunter2").unwrap();
    let bad = running.until("a bad secret", |snapshot| state(snapshot) == Some(false)).await;
    let reason = format!("{:?}", bad.webhooks[&name].verifier);
    assert!(reason.contains("is not UTF-8 text") && !reason.contains("hunter2"), "{reason}");
    running.stop().await;
}

#[tokio::test]
async fn one_newline_at_the_end_of_a_secret_file_is_left_out() {
    use secrecy::ExposeSecret as _;
    let folder = tempfile::tempdir().unwrap();
    for (written, read) in
        [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a "), ("\n", "")]
    {
        let path = folder.path().join("secret");
        fs::write(&path, written).unwrap();
        let secret = kickoff::app::definitions::files::secret(&path).unwrap();
        assert_eq!(secret.expose_secret(), read, "{written:?}");
    }
}

#[tokio::test]
async fn odd_entries_of_a_folder_are_problems_or_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("good.yaml"), WEBHOOK).unwrap();
    fs::write(path(".hidden.yaml"), "{").unwrap();
    fs::write(path("notes.txt"), "{").unwrap();
    fs::write(path("latin.yaml"), b"name: d\xe9j\xe0").unwrap();
    symlink("nowhere", path("dangling.yaml")).unwrap();
    symlink(".", path("loop")).unwrap();
    fs::create_dir(path("folder.yaml")).unwrap();
    let snapshot = once(Origin::Folder(folder.path().to_owned())).await;
    insta::assert_snapshot!(told(&snapshot), @r"
        webhooks github
        templates -
        triggers -
        dangling.yaml:1:1: can't be read: No such file or directory (os error 2)
        latin.yaml:1:1: is not UTF-8 text
        ");
}

#[tokio::test]
async fn what_links_lead_to_counts_once_under_its_own_name() {
    let parent = tempfile::tempdir().unwrap();
    let path = |name: &str| parent.path().join("definitions").join(name);
    fs::create_dir_all(path("z/inner")).unwrap();
    fs::create_dir_all(parent.path().join("shared")).unwrap();
    fs::write(path("z/inner/hook.yaml"), WEBHOOK).unwrap();
    fs::write(parent.path().join("shared/template.yaml"), TEMPLATE).unwrap();
    fs::write(path("t.yaml"), TRIGGER).unwrap();
    symlink("..", path("up")).unwrap();
    symlink("../..", path("z/up")).unwrap();
    symlink("../../..", path("z/inner/further")).unwrap();
    symlink("z/inner", path("a")).unwrap();
    symlink("z/inner/hook.yaml", path("b.yaml")).unwrap();
    symlink("../shared/template.yaml", path("c.yaml")).unwrap();
    fs::hard_link(path("t.yaml"), path("u.yaml")).unwrap();
    let snapshot = once(Origin::Folder(parent.path().join("definitions"))).await;
    assert_eq!(told(&snapshot), "webhooks github\ntemplates smoke\ntriggers after-push");
    let files: Vec<&str> = snapshot.documents.iter().map(|document| document.file.as_str()).collect();
    assert_eq!(files, ["c.yaml", "t.yaml", "z/inner/hook.yaml"]);
}

#[tokio::test]
async fn definitions_in_memory_and_none_at_all() {
    let texts = vec![("demo.yaml".to_owned(), format!("{WEBHOOK}---{TEMPLATE}---{TRIGGER}"))];
    let (snapshot, sources) = loader(Origin::Memory(texts.clone())).load_once().await.unwrap();
    assert_eq!(told(&snapshot), "webhooks github\ntemplates smoke\ntriggers after-push");
    assert_eq!(sources["demo.yaml"], texts[0].1);
    let empty = once(Origin::None).await;
    assert_eq!(told(&empty), "webhooks -\ntemplates -\ntriggers -");
}

#[tokio::test]
async fn many_files_are_read_as_a_few_are() {
    let trigger = |number: usize| match number % 150 {
        7 => "kind: [".to_owned(),
        8 => TRIGGER.replace("after-push", &format!("bad-{number}")).replace("runs:", "run:"),
        9 => TRIGGER.replace("after-push", "twice"),
        _ => TRIGGER.replace("after-push", &format!("t-{number}")),
    };
    let mut texts: Vec<(String, String)> =
        (0..900).map(|number| (format!("{number:03}.yaml"), trigger(number))).collect();
    texts.push(("a.yaml".to_owned(), format!("{WEBHOOK}---{TEMPLATE}")));
    let files: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (&**name, &**text)).collect();
    let (one_by_one, all) = (super::snapshot(&files, None), once(Origin::Memory(texts.clone())).await);
    assert_eq!(all.revision, one_by_one.revision);
    assert_eq!(all.problems, one_by_one.problems);
    assert_eq!(all.files, one_by_one.files);
    let documents = |snapshot: &Snapshot| -> Vec<String> {
        snapshot.documents.iter().map(|document| format!("{} {}", document.file, document.hash)).collect()
    };
    assert_eq!(documents(&all), documents(&one_by_one));
    assert_eq!((all.triggers.len(), all.problems.len()), (882, 18));
}
