//! Where the fields of a document stand, and how those that are misspelt are written.

use std::collections::BTreeMap;

use crate::engine::definitions::partial::holds;
use crate::engine::definitions::problem::Spot;

/// Of more, what is wrong is told where what it stands in does.
const MOST_HELD: usize = 64 << 20;

/// Where the fields of a document stand.
#[derive(Debug, Clone, Default)]
pub struct Places {
    spots: BTreeMap<String, (Option<Spot>, Spot)>,
    /// What their paths hold of memory, bytes.
    held: usize,
    renamed: Renamed,
}

/// Fields that are misspelt: as they were meant, and as they are written.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct Renamed(BTreeMap<String, String>);

impl Renamed {
    /// What was meant to be `meant` is called `written`.
    pub(in crate::engine) fn insert(&mut self, meant: String, written: String) {
        self.0.insert(meant, written);
    }

    /// The path of `field` with the names that are written.
    pub(in crate::engine) fn written(&self, field: &str) -> String {
        let mut above = std::iter::once(field).chain(ancestors(field));
        let known = above.find_map(|above| Some((above.len(), self.0.get(above)?)));
        known.map_or_else(|| field.to_owned(), |(length, written)| format!("{written}{}", &field[length..]))
    }
}

impl Places {
    /// Where the value of `field` begins; of a field that is missing, where its nearest parent is.
    pub fn value(&self, field: &str) -> Spot {
        self.nearest(field).map_or(Spot::START, |(_, value)| value)
    }

    /// Where the key of `field` stands; of an item of a list, where the item begins.
    pub fn key(&self, field: &str) -> Spot {
        self.nearest(field).map_or(Spot::START, |(key, value)| key.unwrap_or(value))
    }

    /// The path of `field` with the names that are written.
    pub(in crate::engine) fn written(&self, field: &str) -> String {
        self.renamed.written(field)
    }

    /// What was meant to be `meant` is called `written`, and so is what stands below it.
    pub(in crate::engine) fn rename(&mut self, meant: String, written: String) {
        self.renamed.0.retain(|known, _| !holds(&meant, known));
        self.renamed.insert(meant, written);
    }

    /// The value of `field` begins there, and its key stands at `key`.
    pub(super) fn insert(&mut self, field: String, key: Option<Spot>, value: Spot) {
        self.held += field.len();
        if self.held <= MOST_HELD {
            self.spots.insert(field, (key, value));
        }
    }

    /// Takes what stands at `field` from elsewhere.
    pub(in crate::engine) fn put(&mut self, field: &str, other: &Self) {
        self.spots.retain(|known, _| !holds(field, known));
        self.spots.extend(other.spots.iter().map(|(field, spots)| (field.clone(), *spots)));
    }

    fn nearest(&self, field: &str) -> Option<(Option<Spot>, Spot)> {
        let field = &self.written(field);
        let exact = self.spots.get(field).copied();
        exact.or_else(|| {
            ancestors(field)
                .find_map(|parent| self.spots.get(parent).map(|(key, value)| (None, key.unwrap_or(*value))))
        })
    }

    /// Every field with its path.
    #[cfg(test)]
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.spots.keys().map(String::as_str)
    }
}

/// The paths above `field`, nearest first, the root last.
pub(in crate::engine) fn ancestors(field: &str) -> impl Iterator<Item = &str> {
    let cut = |path: &&str| -> Option<usize> { path.rfind(['.', '[']) };
    std::iter::successors(Some(field), move |path| match cut(path) {
        Some(at) => Some(&path[..at]),
        None if path.is_empty() => None,
        None => Some(""),
    })
    .skip(1)
}
