//! `$(NAME)` in commands, arguments and env values, as kubelet expands it.
//!
//! The rules are those of Kubernetes' `third_party/forked/golang/expansion`: `$$` is a `$`, a reference
//! that can't be resolved stays as it is written, an unclosed one too, and a value put in is never
//! expanded again. One difference: a multi-byte character after a `$` is kept whole.

/// Expands `input`; `lookup` knows the variables.
pub(super) fn expand<'a>(input: &str, lookup: impl Fn(&str) -> Option<&'a [u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.find('$') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        out.extend_from_slice(before.as_bytes());
        rest = match after.as_bytes().first() {
            Some(b'$') => {
                out.push(b'$');
                &after[1..]
            }
            Some(b'(') => reference(&after[1..], &lookup, &mut out),
            _ => {
                out.push(b'$');
                after
            }
        };
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Puts in what stands after `$(`, and returns what follows it.
fn reference<'i, 'a>(
    input: &'i str,
    lookup: &impl Fn(&str) -> Option<&'a [u8]>,
    out: &mut Vec<u8>,
) -> &'i str {
    let Some((name, rest)) = input.split_once(')') else {
        out.extend_from_slice(b"$(");
        return input;
    };
    match lookup(name) {
        Some(value) => out.extend_from_slice(value),
        None => out.extend_from_slice(format!("$({name})").as_bytes()),
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn references_expand_as_kubelet_does() {
        let known = [("A", "1"), ("B", "$(A) $$ 'x'"), ("EMPTY", ""), ("A B", "spaced")];
        let lookup =
            |name: &str| known.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes());
        for (input, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("$(A)", "1"),
            ("-$(A)-$(A)-", "-1-1-"),
            ("$(EMPTY)", ""),
            ("$(A B)", "spaced"),
            ("$(MISSING)", "$(MISSING)"),
            ("$()", "$()"),
            ("$(B)", "$(A) $$ 'x'"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$$$$(A)", "$$(A)"),
            ("$$", "$"),
            ("$", "$"),
            ("a$", "a$"),
            ("$A ${A} $(A", "$A ${A} $(A"),
            ("$($(A))", "$($(A))"),
            ("$(A))", "1)"),
            ("$é", "$é"),
            ("`$(A)` \"$(A)\"\n", "`1` \"1\"\n"),
            ("$((A))", "$((A))"),
            ("foo$$bar$(A", "foo$bar$(A"),
        ] {
            assert_eq!(String::from_utf8_lossy(&expand(input, lookup)), expected, "{input:?}");
        }
    }
}
