//! Everything that is shipped loads and renders: triggers, examples, what is deployed, README.

pub(crate) mod crds;
mod definitions;
mod demo;
mod grants;
mod readme;
pub(crate) mod rendered;
mod schema;
mod tested;

use std::fs;
use std::path::{Path, PathBuf};

/// Path below the project's folder.
pub(crate) fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub(crate) fn read(path: &str) -> String {
    let file = project(path);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Folders with definitions: `triggers`, what `deploy` begins with, and each example.
fn folders() -> Vec<String> {
    let mut folders = vec!["triggers".to_owned(), "deploy/definitions".to_owned()];
    for entry in fs::read_dir(project("examples")).unwrap() {
        folders.push(format!("examples/{}", entry.unwrap().file_name().to_str().unwrap()));
    }
    folders.sort();
    folders
}

/// The YAML files of a folder, as the loader takes them: name and text.
fn yaml_files(folder: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(project(folder)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_some_and(|extension| extension == "yaml") && !name.ends_with(".test.yaml") {
            files.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    files.sort();
    files
}
