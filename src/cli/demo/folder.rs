//! The demo's folder: its definitions, its webhook secret, the server's data.
//!
//! Only the owner may look into it. It is removed when it is dropped.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

const DEFINITIONS: &str = include_str!("definitions.yaml");

/// The folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes a new folder below the system's one for temporary files.
    pub(super) fn create() -> anyhow::Result<Self> {
        let parent = std::env::temp_dir();
        for number in 0..100 {
            let path = parent.join(format!("kickoff-demo-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("{} can't be made", path.display())),
            }
        }
        anyhow::bail!("{} is full of folders of other demos", parent.display())
    }

    /// Writes the secret and the definitions that refer to it.
    pub(super) fn fill(
        &self,
        secret: &str,
        kickoff: &Path,
        shop_url: &str,
        slot: &str,
    ) -> anyhow::Result<()> {
        fs::create_dir(self.definitions()).context("the definitions' folder can't be made")?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.secret())?;
        file.write_all(secret.as_bytes()).context("the secret can't be written")?;
        let text = definitions(&self.secret(), kickoff, shop_url, slot)?;
        fs::write(self.definitions().join("demo.yaml"), text).context("the definitions can't be written")
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn definitions(&self) -> PathBuf {
        self.path.join("definitions")
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    pub(super) fn secret(&self) -> PathBuf {
        self.path.join("github-secret")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(folder = %self.path.display(), %error, "the demo's folder could not be removed");
        }
    }
}

/// The embedded definitions with this machine's paths, each quoted: a JSON string is a YAML string.
fn definitions(secret: &Path, kickoff: &Path, shop_url: &str, slot: &str) -> anyhow::Result<String> {
    let quoted = |path: &Path| -> anyhow::Result<String> {
        let text = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
        Ok(serde_json::to_string(text)?)
    };
    // `$` is doubled in a command, as in every Job: `$(NAME)` would be expanded.
    let kickoff = quoted(kickoff)?.replace('$', "$$");
    Ok(DEFINITIONS
        .replace("KICKOFF", &kickoff)
        .replace("SECRET_FILE", &quoted(secret)?)
        .replace("ONE_SLOT", &serde_json::to_string(slot)?)
        .replace("SHOP_URL", &serde_json::to_string(shop_url)?))
}

#[cfg(test)]
mod tests {
    use kickoff::engine::definitions::load::load;

    use super::*;

    #[test]
    fn the_definitions_load_whatever_the_paths_look_like() {
        for path in ["/usr/bin/kickoff", "/home/kim/a \"b\": #c/$(x)/kickoff", "/x/[y], {z}\\/kickoff"] {
            let text = definitions(
                Path::new("/tmp/a: b/secret"),
                Path::new(path),
                "http://127.0.0.1:1",
                "* * * * *",
            )
            .unwrap();
            let loaded = load(&[("demo.yaml".to_owned(), text)], "default");
            assert!(loaded.problems.is_empty(), "{path}: {:?}", loaded.problems);
            let command = loaded.documents[1]
                .document
                .value
                .pointer("/spec/job/spec/template/spec/containers/0/command/0");
            assert_eq!(command.unwrap(), &path.replace('$', "$$"));
        }
    }

    #[test]
    fn a_folder_is_private_and_goes_away() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::create().unwrap();
        folder.fill("s3cret", Path::new("/bin/kickoff"), "http://127.0.0.1:1", "* * * * *").unwrap();
        let path = folder.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_to_string(folder.secret()).unwrap(), "s3cret");
        drop(folder);
        assert!(!path.exists());
    }
}
