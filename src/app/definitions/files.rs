//! The files of a folder of definitions: their texts, and whether any changed.
//!
//! A mounted `ConfigMap` is a folder of links into `..data`, itself a link to a folder that is
//! swapped as a whole. Hidden entries are skipped, so that each file counts once; links to files and
//! folders are followed, and the fingerprint is that of what they lead to. Tests of definitions stand
//! beside them and are told from them by their names alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::Metadata;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::engine::fixture::is_fixture;

/// The largest file of definitions, and of a secret.
const LARGEST_FILE: u64 = 16 << 20;
const LARGEST_SECRET: u64 = 1 << 20;
/// How deep folders may be nested.
const DEEPEST: usize = 16;

/// Why a folder could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The folder or one below it.
    #[error("the folder {0} can't be read")]
    Folder(PathBuf, #[source] io::Error),
    /// The reading thread ended.
    #[error("reading the definitions was stopped")]
    Stopped(#[source] tokio::task::JoinError),
}

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// Relative path and text of each file, sorted.
    pub texts: Vec<(String, String)>,
    /// Files that could not be read, with the reason.
    pub refused: Vec<(String, String)>,
}

/// What identifies the state of files without reading them.
pub type Fingerprint = BTreeMap<PathBuf, Option<Stamp>>;

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

/// All definitions' files below `folder`.
pub fn read(folder: &Path) -> Result<Files, ReadError> {
    read_all(folder, is_definition)
}

/// All files of tests below `folder`.
pub fn read_tests(folder: &Path) -> Result<Files, ReadError> {
    read_all(folder, is_test)
}

/// A file of tests is never a file of definitions.
fn is_definition(name: &Path) -> bool {
    name.extension().is_some_and(|end| end == "yaml" || end == "yml") && !is_test(name)
}

fn is_test(name: &Path) -> bool {
    name.file_name().is_some_and(|name| is_fixture(&name.to_string_lossy()))
}

fn read_all(folder: &Path, wanted: fn(&Path) -> bool) -> Result<Files, ReadError> {
    let mut files = Files::default();
    for relative in list(folder, wanted)? {
        let name = relative.to_string_lossy().into_owned();
        match text(&folder.join(&relative), LARGEST_FILE) {
            Ok(text) => files.texts.push((name, text)),
            Err(reason) => files.refused.push((name, reason)),
        }
    }
    Ok(files)
}

/// The state of the files below `folder` and of `others`.
pub fn fingerprint(folder: Option<&Path>, others: &BTreeSet<PathBuf>) -> Result<Fingerprint, ReadError> {
    let below = match folder {
        Some(folder) => {
            list(folder, is_definition)?.into_iter().map(|relative| folder.join(relative)).collect()
        }
        None => Vec::new(),
    };
    let stamp = |path: PathBuf| {
        let stamp = std::fs::metadata(&path).ok().map(|file| Stamp::of(&file));
        (path, stamp)
    };
    Ok(below.into_iter().chain(others.iter().cloned()).map(stamp).collect())
}

/// A secret's text; one newline at the end does not belong to it. Errors never hold any of it.
pub fn secret(path: &Path) -> Result<SecretString, String> {
    let mut text = text(path, LARGEST_SECRET)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(SecretString::from(text))
}

fn text(path: &Path, largest: u64) -> Result<String, String> {
    let unreadable = |error: io::Error| format!("can't be read: {error}");
    // Opening a pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("is not a file".to_owned());
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(largest + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > largest {
        return Err(format!("is larger than {} MiB", largest >> 20));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())
}

/// Relative paths of the files that are `wanted`, sorted.
fn list(folder: &Path, wanted: fn(&Path) -> bool) -> Result<Vec<PathBuf>, ReadError> {
    let mut walk =
        Walk { root: folder, wanted, seen: BTreeSet::new(), links: VecDeque::new(), found: Vec::new() };
    walk.folder(Path::new(""), DEEPEST)?;
    while let Some((link, depth)) = walk.links.pop_front() {
        walk.entry(link, depth)?;
    }
    walk.found.sort();
    Ok(walk.found)
}

/// A walk over a folder and all below it. Links come after all else, so that what one leads to has its own
/// name where it has one here; and each folder and file counts once, since a link may lead back up.
struct Walk<'a> {
    root: &'a Path,
    wanted: fn(&Path) -> bool,
    /// Device and inode of each folder and wanted file.
    seen: BTreeSet<(u64, u64)>,
    /// Relative paths of links, each with how deep folders may be nested from there.
    links: VecDeque<(PathBuf, usize)>,
    found: Vec<PathBuf>,
}

impl Walk<'_> {
    fn folder(&mut self, relative: &Path, depth: usize) -> Result<(), ReadError> {
        let folder =
            if relative.as_os_str().is_empty() { self.root.to_owned() } else { self.root.join(relative) };
        let failed = |error| ReadError::Folder(folder.clone(), error);
        let itself = std::fs::metadata(&folder).map_err(failed)?;
        if depth == 0 || !self.is_new(&itself) {
            return Ok(());
        }
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            names.push((PathBuf::from(entry.file_name()), is_link));
        }
        names.sort();
        for (name, is_link) in names {
            if name.to_string_lossy().starts_with('.') {
                continue;
            }
            let path = relative.join(&name);
            if is_link {
                self.links.push_back((path, depth - 1));
            } else {
                self.entry(path, depth - 1)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: PathBuf, depth: usize) -> Result<(), ReadError> {
        let name = path.file_name().map(PathBuf::from).unwrap_or_default();
        match std::fs::metadata(self.root.join(&path)) {
            Ok(file) if file.is_dir() => self.folder(&path, depth)?,
            Ok(file) if !file.is_file() || !(self.wanted)(&name) || !self.is_new(&file) => {}
            // A link that leads nowhere is listed, so that reading it says so.
            _ if (self.wanted)(&name) => self.found.push(path),
            _ => {}
        }
        Ok(())
    }

    fn is_new(&mut self, file: &Metadata) -> bool {
        self.seen.insert((file.dev(), file.ino()))
    }
}
