//! What to try while the demo goes on serving.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use super::folder::Folder;
use super::story::{GOOD, TRIGGER};
use super::teller::Teller;

/// Prints commands that can be copied into another terminal as they are.
pub(super) fn print<W: Write>(
    teller: &mut Teller<W>,
    kickoff: &Path,
    server: &str,
    folder: &Folder,
) -> io::Result<()> {
    teller.title(
        "The good release is live again, and the server goes on until Ctrl-C. Try, in another terminal:",
    )?;
    teller.verbatim(&commands(kickoff, server, &folder.definitions(), &folder.secret()))?;
    teller.flush()
}

fn commands(kickoff: &Path, server: &str, definitions: &Path, secret: &Path) -> String {
    let quoted = |path: &Path| quote(&path.display().to_string());
    let kickoff = quoted(kickoff);
    let mut text = format!("export KICKOFF_SERVER={server}\n");
    for (command, comment) in [
        ("runs".to_owned(), "what ran"),
        ("logs RUN".to_owned(), "a run's log, by its id"),
        (format!("run {TRIGGER} --wait"), "by hand; the exit code is the outcome"),
        (format!("check {}", quoted(definitions)), "edit them: they are read again"),
    ] {
        // Writing to a string can't fail.
        writeln!(text, "{kickoff} {command}    # {comment}").ok();
    }
    let body = format!(
        r#"{{"ref":"refs/heads/main","after":"{}","repository":{{"full_name":"acme/shop"}}}}"#,
        GOOD.commit
    );
    write!(
        text,
        "\n# A delivery of your own, signed as GitHub signs it.\n\
         body='{body}'\n\
         signature=$(printf %s \"$body\" | openssl dgst -sha256 -hmac \"$(cat {})\" -r | cut -d ' ' -f 1)\n\
         curl -i \"$KICKOFF_SERVER/hooks/github\" --data-binary \"$body\" \\\n  \
         -H 'Content-Type: application/json' -H 'X-GitHub-Event: push' \\\n  \
         -H \"X-GitHub-Delivery: $(date +%s)\" -H \"X-Hub-Signature-256: sha256=$signature\"\n",
        quoted(secret)
    )
    .ok();
    text
}

/// A word for a POSIX shell.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn words_come_out_of_the_shell_as_they_went_in() {
        for word in ["/tmp/x-1", "a b", "it's", "$(id)", "`id`", "\"x\"", "a;b", ""] {
            let script = format!("printf %s {}", quote(word));
            let output = Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
    }

    #[test]
    fn the_commands_are_shell() {
        let text = commands(
            Path::new("/a b/kickoff"),
            "http://127.0.0.1:1",
            Path::new("/t/defs"),
            Path::new("/t/it's"),
        );
        let output = Command::new("/bin/sh").args(["-n", "-c", &text]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
