//! How we prove to NATS who we are: what a file holds, read anew for each connection and then forgotten.

use std::path::{Path, PathBuf};

use async_nats::Auth;
use nkeys::KeyPair;

/// A file that proves who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// A user's token (JWT) and key, as `nsc` writes them.
    Creds(PathBuf),
    /// The seed of a user's key.
    Nkey(PathBuf),
    /// A token.
    Token(PathBuf),
}

/// What a file holds.
pub(super) enum Proof {
    Creds(String, KeyPair),
    Nkey(KeyPair),
    Token(String),
}

impl Login {
    /// Where it is.
    pub fn file(&self) -> &Path {
        match self {
            Self::Creds(file) | Self::Nkey(file) | Self::Token(file) => file,
        }
    }

    /// Reads it; an error says what is wrong, and nothing of what is in it.
    pub(super) async fn read(&self) -> Result<Proof, String> {
        let text = tokio::fs::read_to_string(self.file()).await.map_err(|error| error.to_string())?;
        self.proof(&text)
    }

    /// The answer to a server's challenge.
    pub(super) async fn answer(&self, nonce: &[u8]) -> Result<Auth, String> {
        let sign = |key: &KeyPair| key.sign(nonce).map_err(|_| "its key can't sign".to_owned());
        let mut auth = Auth::new();
        match self.read().await? {
            Proof::Creds(jwt, key) => {
                auth.signature = Some(sign(&key)?);
                auth.jwt = Some(jwt);
            }
            Proof::Nkey(key) => {
                auth.signature = Some(sign(&key)?);
                auth.nkey = Some(key.public_key());
            }
            Proof::Token(token) => auth.token = Some(token),
        }
        Ok(auth)
    }

    fn proof(&self, text: &str) -> Result<Proof, String> {
        match self {
            Self::Creds(_) => {
                let jwt = block(text, "USER JWT").ok_or("it holds no token (BEGIN NATS USER JWT)")?;
                let seed = block(text, "SEED").ok_or("it holds no key (BEGIN USER NKEY SEED)")?;
                Ok(Proof::Creds(jwt.to_owned(), key(seed)?))
            }
            Self::Nkey(_) => {
                let seed = text.lines().map(str::trim).find(|line| line.starts_with("SU"));
                Ok(Proof::Nkey(key(seed.ok_or("it holds no seed of a user's key (SU...)")?)?))
            }
            Self::Token(_) => match text.trim() {
                "" => Err("it is empty".to_owned()),
                token if token.contains(char::is_whitespace) => Err("it holds more than a token".to_owned()),
                token => Ok(Proof::Token(token.to_owned())),
            },
        }
    }
}

/// The line below `BEGIN ... title`.
fn block<'a>(text: &'a str, title: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| line.starts_with("---") && line.contains("BEGIN") && line.contains(title))?;
    lines.find(|line| !line.is_empty()).filter(|line| !line.starts_with('-'))
}

fn key(seed: &str) -> Result<KeyPair, String> {
    KeyPair::from_seed(seed).map_err(|_| "its key is no seed of NATS".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_file_is_said_without_its_secret() {
        let user = KeyPair::new_user();
        let seed = user.seed().unwrap();
        let creds = format!(
            "-----BEGIN NATS USER JWT-----\ne30.e30.sig\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        let file = PathBuf::from("f");
        let (of_creds, nkey, token) =
            (Login::Creds(file.clone()), Login::Nkey(file.clone()), Login::Token(file));
        let wrong = |login: &Login, text: &str| login.proof(text).map(|_| ()).err().unwrap_or_default();
        assert_eq!(wrong(&of_creds, &creds), "");
        assert_eq!(wrong(&of_creds, "hunter2"), "it holds no token (BEGIN NATS USER JWT)");
        assert_eq!(wrong(&of_creds, &creds.replace(&seed, "hunter2")), "its key is no seed of NATS");
        assert_eq!(wrong(&nkey, &format!("# of kickoff\n{seed}\n")), "");
        assert_eq!(wrong(&nkey, "SUhunter2"), "its key is no seed of NATS");
        assert_eq!(wrong(&nkey, "hunter2"), "it holds no seed of a user's key (SU...)");
        assert_eq!(wrong(&token, " hunter2\n"), "");
        assert_eq!(wrong(&token, "\n"), "it is empty");
        assert_eq!(wrong(&token, "hunter 2"), "it holds more than a token");
    }
}
