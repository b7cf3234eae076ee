//! A server without authentication serves this machine alone.
//!
//! A page of a foreign site can reach a loopback address, by its own requests or by letting its name
//! resolve to one. Its browser then tells the foreign name as `Origin` or `Host`.

use std::net::IpAddr;

use http::header::{HOST, HeaderName, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Uri};

use super::Denied;

/// Refuses foreign `Host` and `Origin`.
pub(super) fn check(uri: &Uri, headers: &HeaderMap) -> Result<(), Denied> {
    let asked_for = uri.authority().is_none_or(|authority| is_loopback(authority.host()));
    if !asked_for || !only(headers, HOST).is_some_and(is_local_authority) {
        return Err(Denied::Foreign("Host"));
    }
    if headers.contains_key(ORIGIN) && !only(headers, ORIGIN).is_some_and(is_local_origin) {
        return Err(Denied::Foreign("Origin"));
    }
    Ok(())
}

/// The header's text where there is exactly one.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

fn is_local_origin(origin: &str) -> bool {
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    rest.is_some_and(is_local_authority)
}

fn is_local_authority(text: &str) -> bool {
    let plain = |authority: &Authority| match authority.as_str().strip_prefix(authority.host()) {
        Some(port) => port.is_empty() || authority.port_u16().is_some(),
        None => false,
    };
    text.parse::<Authority>().is_ok_and(|authority| plain(&authority) && is_loopback(authority.host()))
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_and_addresses_are_local() {
        for (authority, local) in [
            ("localhost", true),
            ("LOCALHOST:1", true),
            ("127.0.0.1:8080", true),
            ("127.255.0.9", true),
            ("[::1]:8080", true),
            ("[::1]", true),
            ("0.0.0.0", false),
            ("192.168.0.1", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example:8080", false),
            ("localhost@evil.example", false),
            ("evil.example@localhost", false),
            ("2130706433", false),
            ("localhost:port", false),
            ("localhost/path", false),
            ("", false),
        ] {
            assert_eq!(is_local_authority(authority), local, "{authority:?}");
        }
    }

    #[test]
    fn every_way_to_name_the_server_is_checked() {
        for (uri, headers, denied) in [
            ("/", vec![("host", "localhost")], None),
            ("/", vec![], Some("Host")),
            ("/", vec![("host", "localhost"), ("host", "localhost")], Some("Host")),
            ("http://evil.example/", vec![("host", "localhost")], Some("Host")),
            ("http://localhost/", vec![("host", "localhost")], None),
            ("/", vec![("host", "localhost"), ("origin", "http://127.0.0.1:3000")], None),
            ("/", vec![("host", "localhost"), ("origin", "null")], Some("Origin")),
            ("/", vec![("host", "localhost"), ("origin", "")], Some("Origin")),
            ("/", vec![("host", "localhost"), ("origin", "ftp://localhost")], Some("Origin")),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in &headers {
                map.append(*name, value.parse().unwrap());
            }
            let answer = check(&uri.parse().unwrap(), &map).err();
            assert_eq!(answer, denied.map(Denied::Foreign), "{uri} {headers:?}");
        }
    }
}
