//! What is asked of an API server that answers some things and not others.

use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::engine::definitions::config::SecretKeyRef;
use crate::outside::kubernetes::scripted::{self, refusal};

/// Never answers for the Secret `silent`, and says 503 of all else while it is `busy`; keeps what was asked.
#[derive(Clone, Default)]
struct Server {
    busy: Arc<Mutex<bool>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn api(&self) -> Api {
        let Self { busy, asked } = self.clone();
        scripted::api(move |path| {
            asked.lock().unwrap().push(path.to_owned());
            if path.ends_with("/silent") {
                return None;
            }
            if *busy.lock().unwrap() {
                return Some(refusal(503));
            }
            let metadata = json!({"labels": {"tier": "gold"}});
            let found = json!({"metadata": metadata, "data": {"token": STANDARD.encode("secret")}});
            Some((200, found.to_string()))
        })
    }
}

fn source(name: &str) -> SecretSource {
    SecretSource::SecretKeyRef(SecretKeyRef { name: format!("shop/{name}"), key: "token".to_owned() })
}

fn needs(secrets: &[&str]) -> Needs {
    let secrets = secrets.iter().map(|name| source(name)).collect();
    Needs { secrets, namespaces: ["shop".to_owned()].into() }
}

fn begin(server: &Server, data: &Path) -> (Lookups, watch::Sender<Needs>, watch::Receiver<Arc<Answers>>) {
    Lookups::new(server.api(), data)
}

#[tokio::test]
async fn a_start_keeps_what_was_answered_though_one_thing_never_is() {
    let (server, folder) = (Server::default(), tempfile::tempdir().unwrap());
    let (mut lookups, need, known) = begin(&server, folder.path());
    need.send_replace(needs(&["a", "b", "silent"]));
    lookups.begin_within(Duration::from_secs(1)).await;
    let answers = known.borrow().clone();
    assert!(answers.secrets[&source("a")].is_ok() && answers.secrets[&source("b")].is_ok());
    assert!(!answers.secrets.contains_key(&source("silent")));
    assert_eq!(answers.labels["shop"], Ok(json!({"tier": "gold"})));
}

#[tokio::test]
async fn what_had_no_answer_is_asked_for_again_soon() {
    let (server, folder) = (Server::default(), tempfile::tempdir().unwrap());
    *server.busy.lock().unwrap() = true;
    let (mut lookups, need, mut known) = begin(&server, folder.path());
    need.send_replace(needs(&["a"]));
    lookups.begin().await;
    assert!(known.borrow_and_update().secrets[&source("a")].is_err());
    *server.busy.lock().unwrap() = false;
    let (at, cancel) = (Instant::now(), CancellationToken::new());
    let answered = async {
        known.changed().await.unwrap();
        cancel.cancel();
    };
    tokio::join!(lookups.run(cancel.clone()), answered);
    assert!(at.elapsed() < SOON, "it is asked for first thing: {:?}", at.elapsed());
    assert!(known.borrow().secrets[&source("a")].is_ok());
    let asked = server.asked.lock().unwrap().len();
    assert_eq!(asked, 4, "the Secret and the namespace, twice each");
}

#[tokio::test]
async fn a_start_without_the_cluster_knows_the_labels_of_before() {
    let (server, folder) = (Server::default(), tempfile::tempdir().unwrap());
    let (mut before, need, _known) = begin(&server, folder.path());
    need.send_replace(needs(&["a"]));
    before.begin().await;
    *server.busy.lock().unwrap() = true;
    let (mut after, need, known) = begin(&server, folder.path());
    need.send_replace(needs(&["a"]));
    after.begin().await;
    let answers = known.borrow().clone();
    assert_eq!(answers.labels["shop"], Ok(json!({"tier": "gold"})));
    assert!(answers.secrets[&source("a")].is_err(), "no secret is kept");
}
