//! The files of a folder of definitions: their texts, and whether any changed.
//!
//! A mounted `ConfigMap` is a folder of links into `..data`, itself a link to a folder that is
//! swapped as a whole. Hidden entries are skipped, so that each file counts once; links to files and
//! folders are followed, and the fingerprint is that of what they lead to. Tests of definitions stand
//! beside them and are told from them by their names alone.

use std::collections::{BTreeMap, BTreeSet};
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
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    walk(folder, Path::new(""), DEEPEST, wanted, &mut seen, &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(
    root: &Path,
    relative: &Path,
    depth: usize,
    wanted: fn(&Path) -> bool,
    seen: &mut BTreeSet<(u64, u64)>,
    found: &mut Vec<PathBuf>,
) -> Result<(), ReadError> {
    let folder = if relative.as_os_str().is_empty() { root.to_owned() } else { root.join(relative) };
    let failed = |error| ReadError::Folder(folder.clone(), error);
    let itself = std::fs::metadata(&folder).map_err(failed)?;
    // A link may lead back up: each folder is read once.
    if depth == 0 || !seen.insert((itself.dev(), itself.ino())) {
        return Ok(());
    }
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let name = PathBuf::from(entry.map_err(failed)?.file_name());
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        let path = relative.join(&name);
        match std::fs::metadata(root.join(&path)) {
            Ok(file) if file.is_dir() => walk(root, &path, depth - 1, wanted, seen, found)?,
            // A link that leads nowhere is listed, so that reading it says so.
            Ok(file) if !file.is_file() => {}
            _ if wanted(&name) => found.push(path),
            _ => {}
        }
    }
    Ok(())
}
