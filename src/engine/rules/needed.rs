//! Texts that must be in a value for a pattern to match it, for the index.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind};

/// The texts that every match of a regular expression holds; none where that can't be told.
pub(super) fn of_regex(pattern: &str) -> Vec<Vec<u8>> {
    let parsed = ParserBuilder::new().utf8(false).build().parse(pattern);
    let mut texts = Vec::new();
    if let Ok(hir) = parsed {
        collect(&hir, &mut texts);
    }
    texts
}

fn collect(hir: &Hir, texts: &mut Vec<Vec<u8>>) {
    match hir.kind() {
        HirKind::Literal(literal) => texts.push(literal.0.to_vec()),
        HirKind::Capture(capture) => collect(&capture.sub, texts),
        HirKind::Concat(parts) => {
            for part in parts {
                collect(part, texts);
            }
        }
        HirKind::Repetition(repetition) if repetition.min > 0 => collect(&repetition.sub, texts),
        HirKind::Empty
        | HirKind::Class(_)
        | HirKind::Look(_)
        | HirKind::Repetition(_)
        | HirKind::Alternation(_) => {}
    }
}
