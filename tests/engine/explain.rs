//! Why a trigger fires on an event or does not.
