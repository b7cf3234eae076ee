//! Receipt ids: the one thing that is random, made once, before the append.

/// A new receipt id (UUID version 7) for an event whose sender gave none.
pub fn receipt() -> String {
    #[allow(clippy::disallowed_methods, reason = "receipts are made here")]
    let id = uuid::Uuid::now_v7();
    id.to_string()
}
