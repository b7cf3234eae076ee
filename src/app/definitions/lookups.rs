//! What definitions need of a cluster besides themselves: keys of Secrets, and labels of namespaces.
//!
//! Asked for at once where something new is needed, and again every 20 seconds, so that a secret can be rotated. While
//! the API server can't be asked, what it said last stays; where it says that there is none, or that we may not know,
//! that is the answer. Nothing is written: what is known is gone with the process, and asked for again by the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::engine::definitions::config::{SecretKeyRef, SecretSource};
use crate::engine::definitions::model::Secrets;
use crate::outside::kubernetes::api::{Api, CallError, escape};

/// How old an answer may be.
const AGAIN: Duration = Duration::from_secs(20);
/// How long a start waits for the first answers.
const FIRST: Duration = Duration::from_secs(5);

/// What is needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Keys of Secrets, each with the namespace in its name.
    pub secrets: BTreeSet<SecretSource>,
    /// Namespaces whose labels count.
    pub namespaces: BTreeSet<String>,
}

/// What is known of it.
#[derive(Debug, Default)]
pub struct Answers {
    /// Another where any is another.
    pub revision: u64,
    /// Of Secrets.
    pub secrets: Secrets,
    /// Labels.
    pub labels: BTreeMap<String, Result<Value, String>>,
}

/// Asks for it.
pub struct Lookups {
    api: Api,
    needs: watch::Receiver<Needs>,
    answers: watch::Sender<Arc<Answers>>,
}

/// A Secret as far as it matters: nobody is to log it, so it has no `Debug`.
#[derive(Deserialize)]
struct Secret {
    #[serde(default)]
    data: BTreeMap<String, String>,
}

impl Lookups {
    /// Asks through `api`; where is told what is needed, and where the answers are.
    pub fn new(api: Api) -> (Self, watch::Sender<Needs>, watch::Receiver<Arc<Answers>>) {
        let (need, needs) = watch::channel(Needs::default());
        let (answers, known) = watch::channel(Arc::default());
        (Self { api, needs, answers }, need, known)
    }

    /// Asks for what is needed at a start, for a moment; whether anything is known now.
    pub async fn begin(&mut self) -> bool {
        timeout(FIRST, self.ask()).await.unwrap_or(false)
    }

    /// Asks until `cancel`.
    pub async fn run(mut self, cancel: CancellationToken) {
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(AGAIN) => {}
                changed = self.needs.changed() => if changed.is_err() {
                    return cancel.cancelled().await;
                },
            }
            if cancel.run_until_cancelled(self.ask()).await.is_none() {
                return;
            }
        }
    }

    /// Asks for everything; whether any answer is another than before.
    async fn ask(&mut self) -> bool {
        let needs = self.needs.borrow_and_update().clone();
        let before = Arc::clone(&self.answers.borrow());
        let secrets = self.secrets(&needs.secrets, &before.secrets).await;
        let mut labels = BTreeMap::new();
        for namespace in needs.namespaces {
            let said = self.labels(&namespace).await;
            let known = match said {
                Ok(labels) => Ok(labels),
                Err(error) => kept(&error, before.labels.get(&namespace)),
            };
            labels.insert(namespace, known);
        }
        let same = labels == before.labels && is_same(&secrets, &before.secrets);
        if !same {
            let revision = before.revision + 1;
            self.answers.send_replace(Arc::new(Answers { revision, secrets, labels }));
        }
        !same
    }

    /// Each Secret is asked for once, whatever of it is needed.
    async fn secrets(&self, wanted: &BTreeSet<SecretSource>, before: &Secrets) -> Secrets {
        let mut answers = Secrets::new();
        let mut asked: Option<(&str, Result<Secret, CallError>)> = None;
        for source in wanted {
            let SecretSource::SecretKeyRef(SecretKeyRef { name, key }) = source else { continue };
            if asked.as_ref().is_none_or(|(known, _)| known != name) {
                asked = Some((name.as_str(), self.secret(name).await));
            }
            let answer = match &asked {
                Some((_, Ok(secret))) => value(secret, key),
                Some((_, Err(error))) => kept(error, before.get(source)),
                None => continue,
            };
            answers.insert(source.clone(), answer);
        }
        answers
    }

    async fn secret(&self, name: &str) -> Result<Secret, CallError> {
        let (namespace, name) = name.split_once('/').unwrap_or_default();
        self.api.get(&format!("/api/v1/namespaces/{}/secrets/{}", escape(namespace), escape(name))).await
    }

    async fn labels(&self, namespace: &str) -> Result<Value, CallError> {
        let found: Value = self.api.get(&format!("/api/v1/namespaces/{}", escape(namespace))).await?;
        let labels = &found["metadata"]["labels"];
        Ok(if labels.is_object() { labels.clone() } else { json!({}) })
    }
}

/// What stays known where the API server gave no answer; else what it said.
fn kept<T: Clone>(error: &CallError, before: Option<&Result<T, String>>) -> Result<T, String> {
    match (error.code(), before) {
        (Some(404), _) => Err("there is none".to_owned()),
        (Some(403), _) => Err(format!("{error}; grant get")),
        (_, Some(Ok(known))) => Ok(known.clone()),
        _ => Err(error.to_string()),
    }
}

fn value(secret: &Secret, key: &str) -> Result<SecretString, String> {
    let coded = secret.data.get(key).ok_or("the Secret has no such key")?;
    let bytes = STANDARD.decode(coded).map_err(|_| "it is not base64".to_owned())?;
    // As of a file: a newline at the end does not belong to it.
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    let text = text.strip_suffix('\n').map_or(&*text, |text| text.strip_suffix('\r').unwrap_or(text));
    Ok(SecretString::from(text))
}

fn is_same(one: &Secrets, other: &Secrets) -> bool {
    let text = |known: &Result<SecretString, String>| match known {
        Ok(secret) => (true, secret.expose_secret().to_owned()),
        Err(why) => (false, why.clone()),
    };
    one.len() == other.len()
        && one.iter().all(|(key, it)| other.get(key).is_some_and(|old| text(old) == text(it)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_text_without_its_last_newline() {
        let secret: Secret = serde_json::from_value(json!({"data": {
            "plain": STANDARD.encode("secret"), "line": STANDARD.encode("secret\r\n"),
            "bytes": STANDARD.encode([0xff]), "broken": "%",
        }}))
        .unwrap();
        let read = |key: &str| value(&secret, key).map(|it| it.expose_secret().to_owned());
        assert_eq!(read("plain").unwrap(), "secret");
        assert_eq!(read("line").unwrap(), "secret");
        assert_eq!(read("bytes").unwrap_err(), "it is not UTF-8 text");
        assert_eq!(read("broken").unwrap_err(), "it is not base64");
        assert_eq!(read("other").unwrap_err(), "the Secret has no such key");
    }

    #[test]
    fn what_was_known_stays_while_nobody_answers() {
        let away = CallError::Unreachable("refused".to_owned());
        assert_eq!(kept(&away, Some(&Ok(1))), Ok(1));
        assert!(kept::<i32>(&away, None).unwrap_err().contains("refused"));
        let gone = kube::core::Status { code: 404, ..Default::default() };
        assert_eq!(kept(&CallError::Said(Box::new(gone)), Some(&Ok(1))), Err("there is none".to_owned()));
    }
}
