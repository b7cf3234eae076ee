//! Triggers filed by a text that must be in a value: for globs, regular expressions, beginnings.
//!
//! One pass over the value finds all such texts in it, however many there are.

use std::collections::BTreeMap;

use aho_corasick::AhoCorasick;
use serde_json::Value;

/// Triggers by a text that the value at one path must hold.
#[derive(Debug)]
pub(super) struct OfText {
    path: Vec<String>,
    finder: AhoCorasick,
    filed: Vec<Vec<usize>>,
}

/// A path, and texts all of which must be in the value there.
pub(super) type Needed = (String, Vec<Vec<u8>>);

/// Files each trigger under the rarest of its texts. What can't be filed is given back.
pub(super) fn file(triggers: Vec<(usize, Vec<Needed>)>) -> (Vec<OfText>, Vec<usize>) {
    let mut often: BTreeMap<(String, Vec<u8>), usize> = BTreeMap::new();
    for (path, text) in triggers.iter().flat_map(|(_, needed)| each(needed)) {
        *often.entry((path.to_owned(), text.to_vec())).or_default() += 1;
    }
    let mut paths: BTreeMap<String, BTreeMap<Vec<u8>, Vec<usize>>> = BTreeMap::new();
    let mut left = Vec::new();
    for (position, needed) in triggers {
        let key = |(path, text): (&str, &[u8])| (path.to_owned(), text.to_vec());
        let rarest = each(&needed).map(key).min_by_key(|key| (often[key], usize::MAX - key.1.len()));
        match rarest {
            Some((path, text)) => {
                paths.entry(path).or_default().entry(text).or_default().push(position);
            }
            None => left.push(position),
        }
    }
    let mut built = Vec::new();
    for (path, texts) in paths {
        let (texts, filed): (Vec<Vec<u8>>, Vec<Vec<usize>>) = texts.into_iter().unzip();
        match AhoCorasick::new(&texts) {
            Ok(finder) => {
                built.push(OfText { path: path.split('.').map(str::to_owned).collect(), finder, filed });
            }
            // Too large for one search: each is asked.
            Err(_) => left.extend(filed.into_iter().flatten()),
        }
    }
    (built, left)
}

fn each(needed: &[Needed]) -> impl Iterator<Item = (&str, &[u8])> {
    needed.iter().flat_map(|(path, texts)| texts.iter().map(move |text| (path.as_str(), text.as_slice())))
}

impl OfText {
    /// Who is filed under a text that is in what `root` holds at this path.
    pub(super) fn at(&self, root: &Value) -> Vec<usize> {
        let held = self.path.iter().try_fold(root, |value, name| value.get(name));
        let Some(text) = held.and_then(Value::as_str) else { return Vec::new() };
        let mut seen = vec![false; self.filed.len()];
        let mut found = Vec::new();
        for hit in self.finder.find_overlapping_iter(text) {
            let which = hit.pattern().as_usize();
            if !std::mem::replace(&mut seen[which], true) {
                found.extend(&self.filed[which]);
            }
        }
        found
    }
}
