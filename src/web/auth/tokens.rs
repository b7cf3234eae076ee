//! The file of tokens: YAML `[{name, role, sha256, namespaces, expires}]`, read once at start-up.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_saphyr::{Location, MessageFormatter as _, Spanned, UserMessageFormatter};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use super::{Principal, Role};
use crate::engine::event::Millis;
use crate::engine::glob::Glob;

/// Why a file of tokens can't be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// It can't be read.
    #[error("the file of tokens {} can't be read", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{}:{fault}", file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// Where and why.
        fault: Fault,
    },
}

/// What is wrong with the content of a file of tokens, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    line: u64,
    column: u64,
    message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl Fault {
    fn at(place: Location, message: impl Into<String>) -> Self {
        Self { line: place.line().max(1), column: place.column().max(1), message: message.into() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenConfig {
    name: Spanned<String>,
    role: Role,
    sha256: Spanned<String>,
    namespaces: Option<Spanned<Vec<String>>>,
    expires: Option<Spanned<String>>,
}

/// Principals by the hash of their token.
#[derive(Debug)]
pub(super) struct Tokens(Vec<([u8; 32], Principal)>);

impl Tokens {
    pub(super) fn read(file: &Path) -> Result<Self, AuthError> {
        let text = std::fs::read_to_string(file)
            .map_err(|source| AuthError::Read { file: file.to_owned(), source })?;
        Self::parse(&text).map_err(|fault| AuthError::Content { file: file.to_owned(), fault })
    }

    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let options = serde_saphyr::options! {
            strict_booleans: true,
            leading_zero_numbers_as_strings: true,
        };
        let configs: Vec<Spanned<TokenConfig>> =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| {
                let message = UserMessageFormatter.format_message(error.without_snippet());
                let message = message.replace("expected sequence start", "must be a list of tokens");
                Fault::at(error.location().unwrap_or(Location::UNKNOWN), message)
            })?;
        let mut names = BTreeSet::new();
        let mut hashes = BTreeSet::new();
        let mut tokens = Vec::with_capacity(configs.len());
        for config in configs {
            let (hash, principal) = principal(&config.value)?;
            if !names.insert(principal.name.clone()) {
                let message = format!("the name {} stands here twice", principal.name);
                return Err(Fault::at(config.value.name.referenced, message));
            }
            if !hashes.insert(hash) {
                let message = "this sha256 stands here twice: each token needs one of its own";
                return Err(Fault::at(config.value.sha256.referenced, message));
            }
            tokens.push((hash, principal));
        }
        Ok(Self(tokens))
    }

    /// Whose token this is. Compares with every hash, in a time that does not depend on any.
    pub(super) fn find(&self, token: &[u8]) -> Option<&Principal> {
        let presented = Sha256::digest(token);
        let mut found = u64::MAX;
        for (place, (hash, _)) in (0_u64..).zip(&self.0) {
            let same: Choice = presented.as_slice().ct_eq(hash);
            found.conditional_assign(&place, same);
        }
        self.0.get(usize::try_from(found).ok()?).map(|(_, principal)| principal)
    }
}

fn principal(config: &TokenConfig) -> Result<([u8; 32], Principal), Fault> {
    let TokenConfig { name, role, sha256, namespaces, expires } = config;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    if name.value.is_empty() || name.value.len() > 64 || !name.value.chars().all(plain) {
        let message = "name: must be 1 to 64 letters, digits, or any of - _ . @";
        return Err(Fault::at(name.referenced, message));
    }
    let mut hash = [0; 32];
    if hex::decode_to_slice(&sha256.value, &mut hash).is_err() {
        let message = "sha256: must be the 64 hex digits that `printf %s TOKEN | sha256sum` prints";
        return Err(Fault::at(sha256.referenced, message));
    }
    let namespaces = namespaces.as_ref().map(globs).transpose()?;
    let expires = expires.as_ref().map(moment).transpose()?;
    Ok((hash, Principal { name: name.value.clone(), role: *role, expires, namespaces }))
}

fn moment(text: &Spanned<String>) -> Result<Millis, Fault> {
    let parsed: Result<jiff::Timestamp, _> = text.value.parse();
    parsed.map(jiff::Timestamp::as_millisecond).map_err(|_| {
        let message = "expires: must be a moment as RFC 3339 has it, for instance 2027-01-31T00:00:00Z";
        Fault::at(text.referenced, message)
    })
}

fn globs(patterns: &Spanned<Vec<String>>) -> Result<Arc<[Glob]>, Fault> {
    let fault = |message: String| Fault::at(patterns.referenced, format!("namespaces: {message}"));
    if patterns.value.is_empty() {
        return Err(fault("names none: leave it out for all of them".to_owned()));
    }
    let compile = |text: &String| Glob::compile(text).map_err(|message| fault(format!("{text:?} {message}")));
    patterns.value.iter().map(compile).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn fault(text: &str) -> String {
        Tokens::parse(&text.replace("HASH", HASH)).map_or_else(|fault| fault.to_string(), |_| String::new())
    }

    #[test]
    fn a_bad_file_says_where_and_what() {
        let faults: Vec<String> = [
            "- {name: a, role: viewer, sha256: HASH}\n- {name: a, role: viewer, sha256: HASH}",
            "- {name: a, role: viewer, sha256: HASH}\n- {name: b, role: viewer, sha256: HASH}",
            "- {name: a b, role: viewer, sha256: HASH}",
            "- name: a\n  role: viewer\n  sha256: abc",
            "- {name: a, role: root, sha256: HASH}",
            "- {name: a, sha256: HASH}",
            "- {name: a, role: viewer, sha256: HASH, token: secret}",
            "- {name: a, role: viewer, sha256: HASH, namespaces: []}",
            "- {name: a, role: viewer, sha256: HASH, namespaces: ['[']}",
            "- {name: a, role: viewer, sha256: HASH, expires: tomorrow}",
            "- {name: a, role: viewer, sha256: HASH, expires: 2027-01-31}",
            "- {name: a",
            "name: a",
        ]
        .map(fault)
        .to_vec();
        insta::assert_snapshot!(faults.join("\n"));
    }

    #[test]
    fn a_glob_has_so_much_of_a_size() {
        let large = "?".repeat(20_000);
        let told = fault(&format!("- {{name: a, role: viewer, sha256: HASH, namespaces: ['{large}']}}"));
        assert!(told.ends_with("is not a glob: compiles to more than 262144 bytes"), "{told}");
    }

    #[test]
    fn namespaces_are_globs_and_missing_ones_are_all() {
        let text = "- {name: a, role: viewer, sha256: HASH, namespaces: ['shop-*', infra]}";
        let tokens = Tokens::parse(&text.replace("HASH", HASH)).unwrap();
        let principal = tokens.find(b"abc").unwrap();
        assert!(!principal.sees_all());
        for (namespace, sees) in
            [("shop-a", true), ("infra", true), ("shop", false), ("infra2", false), ("", false)]
        {
            assert_eq!(principal.sees(namespace), sees, "{namespace:?}");
        }
        let all = Tokens::parse(&format!("- {{name: a, role: admin, sha256: {HASH}}}")).unwrap();
        assert!(all.find(b"abc").unwrap().sees("anything"));
        assert!(all.find(b"abC").is_none());
    }

    #[test]
    fn an_empty_list_admits_nobody() {
        assert!(Tokens::parse("[]").unwrap().find(b"").is_none());
    }
}
