//! The image of `deploy/Dockerfile`. What it is made from can't be pulled here, so the binary of the suites stands for its
//! own; in the long form (`KICKOFF_SOAK`) what it runs runs on this machine, on the files that it may copy.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::site::Deployed;
use crate::kubernetes::load::soak;
use crate::shipped::{project, read};

/// The instructions of the Dockerfile, each with what follows it on one line.
fn instructions() -> Vec<(String, String)> {
    let text = read("deploy/Dockerfile").replace("\\\n", "");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap()).map(|(word, rest)| (word.into(), rest.into())).collect()
}

/// What follows the last instruction of this kind.
fn last(kind: &str) -> String {
    instructions().into_iter().rfind(|(word, _)| word == kind).unwrap().1
}

/// What may be copied into the build.
fn copied() -> Vec<String> {
    let ignored = read("deploy/Dockerfile.dockerignore");
    ignored.lines().filter_map(|line| line.strip_prefix('!')).map(str::to_owned).collect()
}

/// The files of the image by their paths in it, the one that it starts first.
pub(super) fn files(folder: &Path) -> Vec<(String, PathBuf)> {
    if !soak() {
        return vec![("/kickoff".to_owned(), env!("CARGO_BIN_EXE_kickoff").into())];
    }
    let build = folder.join("build");
    std::fs::create_dir(&build).unwrap();
    let mut copy = Command::new("cp");
    copy.args(["-r", "--parents"]).args(copied()).arg(&build).current_dir(project(""));
    assert!(copy.status().unwrap().success(), "{copy:?}");
    let mut run = Command::new("sh");
    run.args(["-e", "-c", &last("RUN")]).current_dir(&build).env_remove("CARGO_TARGET_DIR");
    assert!(run.status().unwrap().success(), "{run:?}");
    // What it took is a gigabyte.
    std::fs::remove_dir_all(build.join("target")).unwrap();
    let placed = instructions().into_iter().filter(|(word, _)| word == "COPY");
    let placed = placed.filter_map(|(_, rest)| {
        let (from, to) = rest.strip_prefix("--from=build ")?.split_once(' ')?;
        let from = from.strip_prefix("/build/").map_or_else(|| from.into(), |path| build.join(path));
        Some((to.to_owned(), from))
    });
    let mut placed: Vec<_> = placed.collect();
    placed.sort_by_key(|(to, _)| format!("[\"{to}\"]") != last("ENTRYPOINT"));
    assert_eq!(placed[0].0, "/kickoff");
    placed
}

#[test]
fn the_image_is_the_one_that_the_manifests_run() {
    let deployment = Deployed::files().deployment();
    let pod = &deployment["spec"]["template"]["spec"];
    let (context, container) = (&pod["securityContext"], &pod["containers"][0]);
    assert_eq!(last("USER"), format!("{}:{}", context["runAsUser"], context["runAsGroup"]));
    assert_eq!(last("EXPOSE"), container["ports"][0]["containerPort"].to_string());
    assert_eq!(container["args"][0], "serve", "arguments of its entrypoint");
    assert_eq!((last("ENTRYPOINT").as_str(), last("FROM").as_str()), ("[\"/kickoff\"]", "scratch"));

    let manifest = read("Cargo.toml");
    let (_, version) = manifest.split_once("rust-version = \"").unwrap();
    let (version, _) = version.split_once('"').unwrap();
    assert_eq!(instructions()[0], ("FROM".to_owned(), format!("rust:{version}-slim AS build")));
    let missing: Vec<_> = copied().into_iter().filter(|path| !project(path).exists()).collect();
    assert_eq!(missing, Vec::<String>::new(), "the build may copy it, and it is not there");
}
