//! What is kept: the inbox and the records (ports), history, blobs.

pub mod blobs;
pub mod history;
pub mod inbox;
pub mod records;
pub mod sqlite;
