//! What can be wrong with a data folder, and how it is told.

use std::path::{Path, PathBuf};
use std::process::Command;

use kickoff::engine::verdict::Outcome;
use kickoff::store::history::{EventFilter, FiringFilter, Page};
use kickoff::store::inbox::{Appended, Inbox as _};
use kickoff::store::sqlite::{OpenError, SqliteStore};

use super::{beside, event, event_record, firing, firing_id, key, open, options, put_event, put_firing};

/// A file system in memory, gone with this value.
pub struct Tmpfs {
    path: PathBuf,
    _dir: Option<tempfile::TempDir>,
}

impl Tmpfs {
    pub fn mount(how: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        mount(&["-t", "tmpfs", "-o", how, "tmpfs"], dir.path());
        Self { path: dir.path().to_owned(), _dir: Some(dir) }
    }

    /// At a folder that is there already.
    pub fn at(path: &Path, how: &str) -> Self {
        mount(&["-t", "tmpfs", "-o", how, "tmpfs"], path);
        Self { path: path.to_owned(), _dir: None }
    }

    /// At a folder that is there already, but as an ext4 of 32 MiB in a file beside it.
    pub fn ext4(path: &Path) -> Self {
        let image = path.with_extension("img");
        std::fs::File::create(&image).and_then(|file| file.set_len(32 << 20)).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).status();
        assert!(made.is_ok_and(|status| status.success()), "this test needs mkfs.ext4: install e2fsprogs");
        mount(&["-o", "loop", image.to_str().unwrap()], path);
        Self { path: path.to_owned(), _dir: None }
    }

    /// Other options from now on, for instance `size=4m` or `ro`.
    pub fn limit(&self, how: &str) {
        mount(&["-o", &format!("remount,{how}")], &self.path);
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn mount(arguments: &[&str], path: &Path) {
    let mounted = Command::new("mount").args(arguments).arg(path).status();
    let ok = mounted.is_ok_and(|status| status.success());
    assert!(ok, "this test mounts a tmpfs: run it as root (in a container with CAP_SYS_ADMIN)");
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "the tmpfs stays mounted");
    }
}

fn refusal(dir: &Path) -> OpenError {
    SqliteStore::open(dir, options()).expect_err("the folder was opened")
}

/// What a person reads: the error and all its sources.
fn text(error: OpenError) -> String {
    format!("{:#}", anyhow::Error::new(error))
}

#[tokio::test]
async fn a_folder_is_made_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("deep/data");
    let store = open(&folder);
    store.append(vec![event("a")]).await.unwrap();
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn two_never_share_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let refused = refusal(dir.path());
    assert!(matches!(refused, OpenError::InUse { pid: Some(pid), .. } if pid == std::process::id()));
    let expected = format!(
        "the data folder {} is in use by another kickoff (process {}): \
         stop that one, or give this one a folder of its own",
        dir.path().display(),
        std::process::id()
    );
    assert_eq!(text(refused), expected);
    let clone = store.clone();
    drop(store);
    assert!(matches!(refusal(dir.path()), OpenError::InUse { .. }), "a clone still has it");
    drop(clone);
    open(dir.path());
}

#[test]
fn a_folder_is_itself_and_a_copy_is_another() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let id = open(dir.path()).folder().to_owned();
    assert_eq!(id.len(), 16);
    assert_eq!(open(dir.path()).folder(), id);
    std::fs::copy(dir.path().join("kickoff.db"), other.path().join("kickoff.db")).unwrap();
    assert_ne!(open(other.path()).folder(), id, "a copy");
    assert_ne!(open(tempfile::tempdir().unwrap().path()).folder(), id, "a new one");
}

#[tokio::test]
async fn a_new_database_has_large_pages_and_an_old_one_keeps_its_own() {
    for (there, wanted) in [(None, 8_192), (Some(4_096), 4_096)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kickoff.db");
        if let Some(size) = there {
            let old = rusqlite::Connection::open(&path).unwrap();
            old.pragma_update(None, "page_size", size).unwrap();
            old.execute_batch(include_str!("../../src/store/sqlite/schema.sql")).unwrap();
            old.execute_batch(include_str!("../../src/store/history/schema.sql")).unwrap();
            old.pragma_update(None, "application_id", 0x4b69_636b).unwrap();
            old.pragma_update(None, "user_version", 1).unwrap();
        }
        let store = open(dir.path());
        assert_eq!(store.append(vec![event("a")]).await.unwrap(), [Appended::New]);
        drop(store);
        let database = rusqlite::Connection::open(&path).unwrap();
        let found: i64 = database.pragma_query_value(None, "page_size", |row| row.get(0)).unwrap();
        assert_eq!(found, wanted);
    }
}

#[test]
fn a_newer_schema_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let path = dir.path().join("kickoff.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.pragma_update(None, "user_version", 99).unwrap();
    drop(other);
    let expected = format!(
        "the database {} has schema 99, and this version knows schemas up to 5: use a newer kickoff",
        path.display()
    );
    assert_eq!(text(refusal(dir.path())), expected);
    let other = rusqlite::Connection::open(&path).unwrap();
    let version: i64 = other.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 99);
}

#[test]
fn what_is_not_ours_is_refused() {
    let foreign = |path: &Path| {
        let other = rusqlite::Connection::open(path).unwrap();
        other.execute_batch("CREATE TABLE theirs (x)").unwrap();
    };
    let garbage = |path: &Path| std::fs::write(path, "this is not a database".repeat(500)).unwrap();
    for (case, prepare) in [("another program's", &foreign as &dyn Fn(&Path)), ("garbage", &garbage)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kickoff.db");
        prepare(&path);
        let before = std::fs::read(&path).unwrap();
        let expected = format!(
            "{} is not a database of kickoff: move it away, or give kickoff a folder of its own",
            path.display()
        );
        assert_eq!(text(refusal(dir.path())), expected, "{case}");
        assert_eq!(std::fs::read(&path).unwrap(), before, "{case}");
    }
}

#[test]
fn a_damaged_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let path = dir.path().join("kickoff.db");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let refused = refusal(dir.path());
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused:?}");
    let expected = format!("the database {} is damaged: restore it from a backup", path.display());
    assert!(text(refused).starts_with(&expected));
}

#[tokio::test]
async fn an_empty_database_file_is_ours_to_fill() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("kickoff.db"), "").unwrap();
    let store = open(dir.path());
    assert_eq!(store.append(vec![event("a")]).await.unwrap(), [Appended::New]);
}

#[test]
fn a_folder_that_can_only_be_read_is_refused() {
    let tmpfs = Tmpfs::mount("ro,size=1m");
    let refused = refusal(tmpfs.path());
    assert!(matches!(refused, OpenError::Folder { .. }), "{refused:?}");
    let expected = format!("the data folder {} can't be used: Read-only", tmpfs.path().display());
    let text = text(refused);
    assert!(text.starts_with(&expected), "{text}");
}

#[test]
fn a_folder_that_is_a_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    std::fs::write(&path, "").unwrap();
    assert!(matches!(refusal(&path), OpenError::Folder { .. }));
}

#[tokio::test]
async fn an_older_schema_is_brought_to_ours_with_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    {
        let old = beside(dir.path());
        old.execute_batch(include_str!("../../src/store/sqlite/schema.sql")).unwrap();
        old.execute_batch(include_str!("../../src/store/history/schema.sql")).unwrap();
        old.pragma_update(None, "application_id", 0x4b69_636b).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        let of = |write: kickoff::engine::machine::Write| serde_json::to_string(&write.value).unwrap();
        let ended = kickoff::engine::machine::Firing { outcome: Some(Outcome::Failed), ..firing("a", 1, 1) };
        old.execute(
            "INSERT INTO firings (id, event_key, position, place, done, bare, json) VALUES (?1, ?2, 1, 0, 1, 0, ?3)",
            (firing_id("a").as_str(), key("a").as_str(), of(put_firing(ended))),
        )
        .unwrap();
        old.execute(
            "INSERT INTO events (position, key, received_at, revision, filtered, json) VALUES (1, ?1, 0, 'r', 0, ?2)",
            (key("a").as_str(), of(put_event(event_record("a", 1, &[], 0)))),
        )
        .unwrap();
        for id in ["a", "b", "c"] {
            let attributes = serde_json::to_string(&event(id).attributes).unwrap();
            let row = (key(id).as_str().to_owned(), attributes);
            old.execute("INSERT INTO inbox (key, attributes, body) VALUES (?1, ?2, x'')", row).unwrap();
        }
        old.execute("DELETE FROM inbox WHERE seq = 3", []).unwrap();
    }
    for round in 0..2 {
        let store = open(dir.path());
        assert_eq!(*store.arrived().borrow(), 3 + round, "a position is never given again");
        assert_eq!(store.append(vec![event("a"), event("b")]).await.unwrap(), [Appended::Known; 2]);
        assert_eq!(store.get(&key("b")).await.unwrap().unwrap().attributes.id, "b");
        let new = format!("new-{round}");
        assert_eq!(store.append(vec![event(&new)]).await.unwrap(), [Appended::New]);
        let history = store.history();
        let page = || Page { limit: 10, cursor: None };
        for (trigger, outcome, count) in [
            (Some("shop/smoke"), Some(Outcome::Failed), 1),
            (Some("smoke"), None, 1),
            (Some("blog/smoke"), None, 0),
            (None, Some(Outcome::Passed), 0),
        ] {
            let filter = FiringFilter { trigger: trigger.map(str::to_owned), outcome, event: None };
            assert_eq!(
                history.firings(filter.clone(), page()).await.unwrap().items.len(),
                count,
                "{filter:?}"
            );
        }
        for (source, event_type, count) in
            [(Some("/manual"), None, 1), (None, Some("dev.kickoff.manual"), 1), (Some("/x"), None, 0)]
        {
            let (source, event_type) = (source.map(str::to_owned), event_type.map(str::to_owned));
            let filter = EventFilter { source, event_type, ..EventFilter::default() };
            assert_eq!(
                history.events(filter.clone(), page()).await.unwrap().items.len(),
                count,
                "{filter:?}"
            );
        }
    }
}
