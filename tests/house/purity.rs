//! What the engine may not touch: clocks, files, the environment, the network, threads, chance.

use regex::Regex;

use super::source::{Source, below};

const STD_MODULES: &[&str] = &["env", "fs", "net", "os", "process", "thread"];

const WORDS: &[&str] = &[
    r"\btokio\b",
    r"\basync_trait\b",
    r"\basync\s+(fn|move|\{)",
    r"\.await\b",
    r"\breqwest\b",
    r"\brusqlite\b",
    r"\brand\b",
    r"\buuid\b",
    r"\b(SystemTime|Instant|Timestamp|Zoned)::now\b",
];

/// Reads `engine.rs` and everything below `engine/`, their tests too.
pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let words: Vec<Regex> = WORDS.iter().map(|word| Regex::new(word).unwrap()).collect();
    let engine = sources.iter().filter(|source| source.modules()[0] == "engine");
    engine.flat_map(|source| check_file(source, &words)).collect()
}

fn check_file(source: &Source, words: &[Regex]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (line, name) in below(&source.code, "std") {
        if STD_MODULES.contains(&name.as_str()) {
            complaints.push(source.complain(line, &format!("the engine may not use std::{name}")));
        }
    }
    for (line, text) in source.code.lines().enumerate() {
        for found in words.iter().filter_map(|word| word.find(text)) {
            complaints.push(source.complain(line, &format!("the engine may not use {}", found.as_str())));
        }
    }
    complaints
}

#[test]
fn whatever_is_not_pure_is_caught() {
    let cases: &[(&str, &[&str])] = &[
        ("use tokio::sync::mpsc;", &["tokio"]),
        ("use std::{collections::BTreeMap, fs};", &["std::fs"]),
        ("fn f() { std::env::var(\"X\") }", &["std::env"]),
        ("use std::net::TcpStream;", &["std::net"]),
        ("use std::process::Command;", &["std::process"]),
        ("use std::thread;", &["std::thread"]),
        ("let now = SystemTime::now();", &["SystemTime::now"]),
        ("let now = std::time::Instant::now();", &["Instant::now"]),
        ("let now = jiff::Timestamp::now();", &["Timestamp::now"]),
        ("let dice = rand::random();", &["rand"]),
        ("uuid::Uuid::now_v7()", &["uuid"]),
        ("async fn f() {}", &["async fn"]),
        ("\n\nfuture.await", &["src/engine/x.rs:3: the engine may not use .await"]),
    ];
    for (text, wanted) in cases {
        super::catches(check, &[("engine/x.rs", text)], wanted);
    }
}

#[test]
fn the_same_is_free_elsewhere_and_in_words() {
    let cases = [
        ("runs/x.rs", "use tokio::sync::mpsc; async fn f() {}"),
        ("engine/x.rs", "// tokio, std::fs\nlet text = \"rand::random std::env\"; let random = operand;"),
    ];
    super::catches(check, &cases, &[]);
}
