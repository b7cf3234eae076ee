//! What a cluster is asked for, what it said, and what had no answer yet.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;

use super::{Labels, Needs};
use crate::engine::definitions::config::{SecretKeyRef, SecretSource};
use crate::engine::definitions::model::Secrets;
use crate::outside::kubernetes::api::CallError;

/// Longest secret, bytes: each Webhook that names it holds it by itself.
const LONGEST: usize = 4_096;

/// One call. Each Secret is asked for once, whatever of it is needed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Question {
    /// A Secret, with its namespace in its name.
    Secret(String),
    /// The labels of a namespace.
    Labels(String),
}

/// What came of one.
pub(super) enum Said {
    /// Of a Secret.
    Secret(String, Result<Secret, CallError>),
    /// Of a namespace.
    Labels(String, Result<Value, CallError>),
}

/// A Secret as far as it matters: nobody is to log it, so it has no `Debug`.
#[derive(Deserialize)]
pub(super) struct Secret {
    #[serde(default)]
    data: BTreeMap<String, String>,
}

/// All of it.
#[derive(Default)]
pub(super) struct Asked {
    needs: Needs,
    /// What had no answer yet, or none the last time.
    open: BTreeSet<Question>,
    pub(super) secrets: Secrets,
    /// Without those that had no answer: they are not known.
    pub(super) labels: Labels,
}

impl Question {
    fn of(source: &SecretSource) -> Option<Self> {
        match source {
            SecretSource::SecretKeyRef(SecretKeyRef { name, .. }) => Some(Self::Secret(name.clone())),
            SecretSource::Env(_) | SecretSource::File(_) => None,
        }
    }
}

impl Needs {
    fn questions(&self) -> impl Iterator<Item = Question> + '_ {
        let secrets = self.secrets.iter().filter_map(Question::of);
        secrets.chain(self.namespaces.iter().cloned().map(Question::Labels))
    }
}

impl Asked {
    /// Takes over what is needed now. What is new has no answer yet, what is not needed any more is forgotten.
    pub(super) fn need(&mut self, needs: Needs) {
        let new = Needs {
            secrets: needs.secrets.difference(&self.needs.secrets).cloned().collect(),
            namespaces: needs.namespaces.difference(&self.needs.namespaces).cloned().collect(),
        };
        self.secrets.retain(|source, _| needs.secrets.contains(source));
        self.labels.retain(|namespace, _| needs.namespaces.contains(namespace));
        self.needs = needs;
        let all = self.all();
        self.open.extend(new.questions());
        self.open.retain(|question| all.contains(question));
    }

    /// Everything.
    pub(super) fn all(&self) -> BTreeSet<Question> {
        self.needs.questions().collect()
    }

    /// What had no answer.
    pub(super) fn open(&self) -> BTreeSet<Question> {
        self.open.clone()
    }

    /// Whether anything had none.
    pub(super) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Begins with labels as they were known before.
    pub(super) fn remember(&mut self, labels: BTreeMap<String, Value>) {
        for (namespace, labels) in labels {
            if self.needs.namespaces.contains(&namespace) {
                self.labels.entry(namespace).or_insert(Ok(labels));
            }
        }
    }

    /// Takes in what was said.
    pub(super) fn take(&mut self, said: Said) {
        let (question, answered) = match said {
            Said::Secret(name, said) => {
                let answered = is_answered(&said);
                self.secret(&name, &said);
                (Question::Secret(name), answered)
            }
            Said::Labels(namespace, said) => {
                let answered = is_answered(&said);
                // Without an answer they are what they were: known, or not.
                if answered {
                    let labels = said.map_err(|error| refusal(&error));
                    self.labels.insert(namespace.clone(), labels);
                }
                (Question::Labels(namespace), answered)
            }
        };
        if answered {
            self.open.remove(&question);
        } else {
            self.open.insert(question);
        }
    }

    fn secret(&mut self, name: &str, said: &Result<Secret, CallError>) {
        for source in &self.needs.secrets {
            let SecretSource::SecretKeyRef(SecretKeyRef { name: known, key }) = source else { continue };
            if known != name {
                continue;
            }
            let value = match (said, self.secrets.get(source)) {
                (Ok(secret), _) => value(secret, key),
                (Err(_), Some(Ok(_))) if !is_answered(said) => continue,
                (Err(error), _) => Err(refusal(error)),
            };
            self.secrets.insert(source.clone(), value);
        }
    }
}

/// Whether the API server said what there is: also that there is none, or that we may not know.
fn is_answered<T>(said: &Result<T, CallError>) -> bool {
    said.as_ref().err().is_none_or(|error| matches!(error.code(), Some(403 | 404)))
}

/// Why something is not known.
fn refusal(error: &CallError) -> String {
    match error.code() {
        Some(404) => "there is none".to_owned(),
        Some(403) => format!("{error}; grant get"),
        _ => error.to_string(),
    }
}

fn value(secret: &Secret, key: &str) -> Result<SecretString, String> {
    let coded = secret.data.get(key).ok_or("the Secret has no such key")?;
    let bytes = STANDARD.decode(coded).map_err(|_| "it is not base64".to_owned())?;
    // As of a file: a newline at the end does not belong to it.
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    let text = text.strip_suffix('\n').map_or(&*text, |text| text.strip_suffix('\r').unwrap_or(text));
    if text.len() > LONGEST {
        return Err(format!("it has {} bytes; up to {LONGEST} are allowed", text.len()));
    }
    Ok(SecretString::from(text))
}

/// Whether nothing in them is another.
pub(super) fn is_same(one: &Secrets, other: &Secrets) -> bool {
    let text = |known: &Result<SecretString, String>| match known {
        Ok(secret) => (true, secret.expose_secret().to_owned()),
        Err(why) => (false, why.clone()),
    };
    one.len() == other.len()
        && one.iter().all(|(key, it)| other.get(key).is_some_and(|old| text(old) == text(it)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn away<T>() -> Result<T, CallError> {
        Err(CallError::Unreachable("refused".to_owned()))
    }

    fn refused<T>(code: u16) -> Result<T, CallError> {
        Err(CallError::Said(Box::new(kube::core::Status { code, ..Default::default() })))
    }

    fn token() -> SecretSource {
        let (name, key) = ("shop/hooks".to_owned(), "token".to_owned());
        SecretSource::SecretKeyRef(SecretKeyRef { name, key })
    }

    fn secret(value: &str) -> Secret {
        serde_json::from_value(json!({"data": {"token": STANDARD.encode(value)}})).unwrap()
    }

    fn asked() -> Asked {
        let mut asked = Asked::default();
        asked.need(Needs { secrets: [token()].into(), namespaces: ["shop".to_owned()].into() });
        asked
    }

    /// The token, or why it is not known.
    fn known(asked: &Asked) -> Result<&str, &str> {
        match &asked.secrets[&token()] {
            Ok(secret) => Ok(secret.expose_secret()),
            Err(why) => Err(why),
        }
    }

    #[test]
    fn a_value_is_text_without_its_last_newline() {
        let secret: Secret = serde_json::from_value(json!({"data": {
            "plain": STANDARD.encode("secret"), "line": STANDARD.encode("secret\r\n"),
            "bytes": STANDARD.encode([0xff]), "broken": "%", "long": STANDARD.encode("a".repeat(4_097)),
        }}))
        .unwrap();
        let read = |key: &str| value(&secret, key).map(|it| it.expose_secret().to_owned());
        assert_eq!(read("plain").unwrap(), "secret");
        assert_eq!(read("line").unwrap(), "secret");
        assert_eq!(read("bytes").unwrap_err(), "it is not UTF-8 text");
        assert_eq!(read("broken").unwrap_err(), "it is not base64");
        assert_eq!(read("long").unwrap_err(), "it has 4097 bytes; up to 4096 are allowed");
        assert_eq!(read("other").unwrap_err(), "the Secret has no such key");
    }

    #[test]
    fn a_secret_stays_as_it_was_while_nobody_answers() {
        let mut asked = asked();
        let name = || "shop/hooks".to_owned();
        asked.take(Said::Secret(name(), away()));
        assert!(known(&asked).unwrap_err().contains("refused"));
        assert_eq!(asked.open().len(), 2, "it and the labels, which nobody asked for yet");
        asked.take(Said::Secret(name(), Ok(secret("first"))));
        asked.take(Said::Secret(name(), away()));
        assert_eq!(known(&asked), Ok("first"));
        assert!(asked.open().contains(&Question::Secret(name())), "it is asked for again soon");
        for code in [404, 403] {
            asked.take(Said::Secret(name(), refused(code)));
            assert!(known(&asked).is_err());
            assert!(!asked.open().contains(&Question::Secret(name())), "{code} is an answer");
        }
    }

    #[test]
    fn labels_without_an_answer_are_not_known_and_are_no_others() {
        let mut asked = asked();
        asked.take(Said::Labels("shop".to_owned(), away()));
        assert!(asked.labels.is_empty());
        asked.remember(BTreeMap::from([
            ("shop".to_owned(), json!({"tier": "gold"})),
            ("bank".to_owned(), json!({})),
        ]));
        asked.take(Said::Labels("shop".to_owned(), away()));
        assert_eq!(asked.labels, BTreeMap::from([("shop".to_owned(), Ok(json!({"tier": "gold"})))]));
        asked.take(Said::Labels("shop".to_owned(), Ok(json!({"tier": "silver"}))));
        assert_eq!(asked.labels["shop"], Ok(json!({"tier": "silver"})));
        asked.take(Said::Labels("shop".to_owned(), refused(404)));
        assert_eq!(asked.labels["shop"], Err("there is none".to_owned()));
    }

    #[test]
    fn what_is_needed_anew_is_open_and_what_is_not_is_forgotten() {
        let mut asked = asked();
        asked.take(Said::Secret("shop/hooks".to_owned(), Ok(secret("first"))));
        asked.take(Said::Labels("shop".to_owned(), Ok(json!({}))));
        assert!(!asked.has_open());
        asked.need(Needs { secrets: [token()].into(), namespaces: ["bank".to_owned()].into() });
        assert_eq!(asked.open(), [Question::Labels("bank".to_owned())].into());
        assert!(asked.labels.is_empty() && known(&asked) == Ok("first"));
    }
}
