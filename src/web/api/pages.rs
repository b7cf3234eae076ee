//! Pages of lists of which some rows are left out: what a principal may not see, and what no index
//! can tell.
//!
//! A request looks at a bounded number of rows, then answers what it has and where to go on. A page may
//! so have fewer rows than were asked for, and says so; the end of a list is where there is no `next`.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::ask::Query;
use super::error::ApiError;
use crate::store::history::{Cursor, HistoryError, Listed, Page};

pub(super) const DEFAULT_LIMIT: u32 = 50;
pub(super) const MAX_LIMIT: u32 = 500;
/// How many rows are read at a time, and how many of such reads there are for a request.
const MAX_READS: usize = 20;
/// How long a request looks for rows.
const PATIENCE: Duration = Duration::from_secs(2);

/// The part of a list that is asked for.
pub(super) fn page(query: &Query) -> Result<Page, ApiError> {
    Ok(Page {
        limit: query.number("limit", 1, MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT),
        cursor: query.parsed("cursor", "the `next` of a page", Cursor::decode)?,
    })
}

/// A page, and how many rows were looked at where it ends before it is full.
pub(super) struct Gathered<T> {
    pub(super) listed: Listed<T>,
    pub(super) ended_after: Option<usize>,
}

impl<T> Gathered<T> {
    /// For people.
    pub(super) fn incomplete(&self) -> Option<String> {
        let looked_at = self.ended_after?;
        Some(format!("{looked_at} rows were looked at: older ones are on the pages from next on"))
    }
}

/// A list of which not all rows are shown.
pub(super) trait Rows {
    /// What it is a list of.
    type Row: Send;

    /// A page of all rows.
    fn read(&self, page: Page) -> impl Future<Output = Result<Listed<Self::Row>, HistoryError>> + Send;

    /// Where a row is.
    fn place(row: &Self::Row) -> Cursor;

    /// The row as it is shown, where it is.
    fn keep(&self, row: Self::Row) -> impl Future<Output = Result<Option<Self::Row>, ApiError>> + Send;
}

/// A page, read at once where `all` rows are shown.
pub(super) async fn some<L: Rows>(rows: &L, page: Page, all: bool) -> Result<Gathered<L::Row>, ApiError> {
    if all {
        return Ok(Gathered { listed: rows.read(page).await?, ended_after: None });
    }
    gather(rows, page).await
}

/// A page of the rows that are shown.
async fn gather<L: Rows>(rows: &L, page: Page) -> Result<Gathered<L::Row>, ApiError> {
    let limit = page.limit as usize;
    let until = Instant::now() + PATIENCE;
    let (mut items, mut cursor, mut looked_at) = (Vec::new(), page.cursor, 0);
    for _ in 0..MAX_READS {
        let listed = rows.read(Page { limit: MAX_LIMIT, cursor }).await?;
        let mut left: VecDeque<L::Row> = listed.items.into();
        while let Some(row) = left.pop_front() {
            let last = L::place(&row);
            looked_at += 1;
            items.extend(rows.keep(row).await?);
            let more = !left.is_empty() || listed.next.is_some();
            if items.len() == limit {
                let next = more.then_some(last);
                return Ok(Gathered { listed: Listed { items, next }, ended_after: None });
            }
            if more && Instant::now() >= until {
                let listed = Listed { items, next: Some(last) };
                return Ok(Gathered { listed, ended_after: Some(looked_at) });
            }
        }
        cursor = listed.next;
        if cursor.is_none() {
            return Ok(Gathered { listed: Listed { items, next: None }, ended_after: None });
        }
    }
    Ok(Gathered { listed: Listed { items, next: cursor }, ended_after: Some(looked_at) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of so many rows of which every `nth` is kept.
    struct Numbers {
        rows: u64,
        nth: u64,
    }

    impl Rows for Numbers {
        type Row = u64;

        async fn read(&self, page: Page) -> Result<Listed<u64>, HistoryError> {
            let from = page.cursor.map_or(self.rows, |cursor| cursor.position - 1);
            let items: Vec<u64> = (1..=from).rev().take(page.limit as usize).collect();
            let next = items.last().filter(|last| **last > 1).map(Self::place);
            Ok(Listed { items, next })
        }

        fn place(row: &u64) -> Cursor {
            Cursor { position: *row, place: 0 }
        }

        async fn keep(&self, row: u64) -> Result<Option<u64>, ApiError> {
            Ok(row.is_multiple_of(self.nth).then_some(row))
        }
    }

    async fn check(rows: u64, nth: u64, limit: u32) -> (Vec<u64>, usize, usize) {
        let numbers = Numbers { rows, nth };
        let (mut found, mut pages, mut short, mut cursor) = (Vec::new(), 0, 0, None);
        loop {
            let gathered = gather(&numbers, Page { limit, cursor }).await.unwrap();
            pages += 1;
            short += usize::from(gathered.ended_after.is_some());
            found.extend(gathered.listed.items);
            cursor = gathered.listed.next;
            if cursor.is_none() {
                return (found, pages, short);
            }
        }
    }

    #[tokio::test]
    async fn every_row_that_is_kept_is_found_once() {
        for (rows, nth, limit, expected) in [
            (0, 1, 5, (1, 0)),
            (10, 1, 5, (2, 0)),
            (11, 2, 5, (2, 0)),
            (25_000, 9_999, 5, (3, 2)),
            (600, 601, 1, (1, 0)),
        ] {
            let (found, pages, short) = check(rows, nth, limit).await;
            let all: Vec<u64> = (1..=rows).rev().filter(|row| row.is_multiple_of(nth)).collect();
            assert_eq!((found, (pages, short)), (all, expected), "{rows} {nth} {limit}");
        }
    }
}
