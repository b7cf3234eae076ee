//! Templates: any text compiles or is refused, and renders or fails on any document.
#![no_main]

mod shared;

use kickoff::engine::ids::ObjectName;
use kickoff::engine::render::Text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((text, document)) = shared::text_and_document(data) else { return };
    let facts = shared::facts(document);
    for text in [text.to_owned(), format!("{{{{ {text} }}}}")] {
        let _ = Text::compile(&text);
        if let Ok(text) = Text::compile_key(&text) {
            let _ = text.render(&facts, &ObjectName::new("default", "t"));
        }
    }
});
