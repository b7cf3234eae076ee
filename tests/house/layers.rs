//! Who may know whom.

use super::source::{Source, below};

/// Each library module with the modules that it may name besides itself, as `lib.rs` says.
const LAYERS: &[(&str, &[&str])] = &[
    ("app", &["web", "sources", "runs", "report", "store", "outside", "engine"]),
    ("web", &["sources", "runs", "report", "store", "outside", "engine"]),
    ("sources", &["store", "outside", "engine"]),
    ("runs", &["store", "outside", "engine"]),
    ("report", &["store", "outside", "engine"]),
    ("store", &["outside", "engine"]),
    ("outside", &[]),
    ("engine", &[]),
];

/// These may name all.
const FREE: &[&str] = &["lib", "main", "cli"];

/// Finds paths from the crate's root, also through groups and chains of `super`.
pub(super) fn check(sources: &[Source]) -> Vec<String> {
    sources.iter().flat_map(check_file).collect()
}

fn check_file(source: &Source) -> Vec<String> {
    let module = source.modules()[0];
    if FREE.contains(&module) {
        return Vec::new();
    }
    let Some((_, may)) = LAYERS.iter().find(|(name, _)| *name == module) else {
        return vec![source.complain(0, &format!("`{module}` has no place in the layers"))];
    };
    let root = "super::".repeat(source.modules().len());
    let climbed = below(&source.code, root.trim_end_matches("::"));
    let climbed = climbed.into_iter().filter(|(_, name)| LAYERS.iter().any(|(layer, _)| name == layer));
    below(&source.code, "crate")
        .into_iter()
        .filter(|(_, name)| name.starts_with(char::is_lowercase))
        .chain(climbed)
        .filter(|(_, name)| name != module && !may.contains(&name.as_str()))
        .map(|(line, name)| source.complain(line, &format!("`{module}` may not know `{name}`")))
        .collect()
}

#[test]
fn a_path_upwards_or_sideways_is_caught() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("engine/rules.rs", "use crate::store::inbox::Inbox;", &["`engine` may not know `store`"]),
        ("outside/clock.rs", "use crate::engine::event::Millis;", &["`outside` may not know `engine`"]),
        ("store/sqlite.rs", "fn f() { crate::runs::go() }", &["src/store/sqlite.rs:1: `store` may not"]),
        ("runs/launcher.rs", "use crate::{engine::ids, sources::manual};", &["know `sources`"]),
        ("sources/webhook.rs", "use crate::report::nats;", &["know `report`"]),
        ("web/hooks.rs", "mod tests {\n    use crate::app::serve;\n}", &["src/web/hooks.rs:2: `web`"]),
        ("engine/ids.rs", "use super::super::web::router;", &["`engine` may not know `web`"]),
        ("gadgets.rs", "", &["`gadgets` has no place"]),
    ];
    for (path, text, wanted) in cases {
        super::catches(check, &[(path, text)], wanted);
    }
}

#[test]
fn a_path_downwards_is_none_of_its_business() {
    let cases = [
        ("app/serve.rs", "use crate::{web, runs::dispatch, engine::{event, ids}};"),
        ("runs/dispatch.rs", "// crate::web\nuse crate::store::inbox; const A: &str = \"crate::web\";"),
        ("engine/rules.rs", "use super::values::Facts; use crate::engine::ids;"),
        ("main.rs", "use kickoff::app; use crate::cli;"),
        ("cli/explain.rs", "use crate::cli::client;"),
    ];
    super::catches(check, &cases, &[]);
}
