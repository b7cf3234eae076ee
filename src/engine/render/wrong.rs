//! What is wrong with a template's Job or params.

/// A problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The field below `job` or below the param, or one of `allow`.
    pub field: String,
    /// Its name is at fault, not its value.
    pub at_key: bool,
    /// What is wrong with it.
    pub message: String,
    /// What else it is about, if there is anything: what could not be read there may mend it.
    pub by: Option<Beside>,
}

impl Wrong {
    pub(super) fn of((field, message): (String, String)) -> Self {
        Self { field, at_key: false, message, by: None }
    }
}

/// What of a template a problem of another field is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beside {
    /// All params.
    Params,
    /// Their names.
    ParamNames,
    /// The type of the param with this name.
    TypeOf(String),
    /// This list of `allow`.
    Allow(&'static str),
}
