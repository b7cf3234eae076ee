//! JSONPath: any text compiles or is refused, and gives its values on any document.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((text, document)) = shared::text_and_document(data) else { return };
    let facts = shared::facts(document);
    for path in [text.to_owned(), format!("event.data{text}"), format!("event.data[?{text}]")] {
        let _ = kickoff::engine::rules::select(&path, facts.root());
    }
});
