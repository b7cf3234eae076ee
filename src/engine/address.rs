//! Addresses that a gate asks, and the server's list of those that events may choose.
//!
//! Whoever can send an event could make the server ask what only the server reaches. So an address is read once, by
//! the rules by which the client that asks reads it too (the WHATWG URL standard), and from there on only what was
//! read counts: it is compared part by part, and it is what is asked. Where people, proxies and servers read the
//! same text differently, it is refused.

use url::Url;

use super::definitions::clause::cut;
use super::glob::Glob;

/// Longest address, bytes.
const LONGEST: usize = 2_048;
/// In a path, what some servers take for a separator, for a step upwards, or for the end of a name.
const AMBIGUOUS: [&str; 6] = ["%2f", "%5c", "%2e", "%25", "%00", ";"];

/// What is wrong with a URL that has a user.
pub(super) const HAS_USER: &str = "holds a user's name or password, which would be told in decisions";

/// Where `http` or `https` is spoken: without a user's name and without a fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(Url);

impl Address {
    /// Reads `text`; an error says what is wrong with it, as in "is no URL: empty host".
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("has more than {LONGEST} bytes"));
        }
        // A URL parser drops some of these and turns others into `/`.
        if text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err("holds a blank, a backslash or a control character".to_owned());
        }
        if split_scheme(text).is_none() {
            return Err("must begin with http:// or https://".to_owned());
        }
        let url = Url::parse(text).map_err(|error| format!("is no URL: {error}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(HAS_USER.to_owned());
        }
        if url.fragment().is_some() {
            return Err("has a #, and what follows it is never sent".to_owned());
        }
        if !url.host_str().is_some_and(is_plain_host) {
            return Err("has a host with other characters than letters, digits, - _ and .".to_owned());
        }
        Ok(Self(url))
    }

    /// As it is asked.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    fn query(&self) -> Option<&str> {
        self.0.query().filter(|query| !query.is_empty())
    }

    fn is_ambiguous(&self) -> bool {
        let path = self.0.path().to_ascii_lowercase();
        AMBIGUOUS.iter().any(|part| path.contains(part))
    }

    /// A pattern that has this address. `None` where its path is no text to hand to a shell: it comes from an event,
    /// and people copy what they read.
    fn pattern(&self) -> Option<String> {
        let host = self.0.host_str()?;
        let port = self.0.port().map(|port| format!(":{port}")).unwrap_or_default();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.~%:@,+=&".contains(&b);
        let path = Some(self.0.path()).filter(|path| path.len() <= 100 && path.bytes().all(plain))?;
        let query = if self.query().is_some() { "?**" } else { "" };
        Some(format!("{}://{host}{port}{path}{query}", self.0.scheme()))
    }
}

/// Which addresses events may choose.
#[derive(Debug, Clone)]
pub enum Allowed {
    /// Only those that one of these has.
    Listed(Vec<Pattern>),
    /// Any: there is no server to say so, and nothing is asked, as in `explain`.
    Unknown,
}

impl Allowed {
    /// Why an event may not choose `address`, with what would let it.
    pub fn refuses(&self, address: &Address) -> Option<String> {
        let shown = cut(address.as_str());
        if address.is_ambiguous() {
            let parts = AMBIGUOUS.join(" ");
            return Some(format!(
                "{shown:?} has one of {parts} in its path, which an event may not choose anywhere"
            ));
        }
        let Self::Listed(patterns) = self else { return None };
        if patterns.iter().any(|pattern| pattern.has(address)) {
            return None;
        }
        let add = address
            .pattern()
            .map(|pattern| format!("; to let them, start the server with --gate-allow '{pattern}'"));
        Some(format!("{shown:?} is none of the addresses that events may choose{}", add.unwrap_or_default()))
    }
}

/// Addresses of one kind: `http://*.shop.svc/healthz`.
///
/// Scheme, host, port, path and query are compared one by one. In a host, `*` stands for characters of one of the
/// names between its dots, and never for an IP address. A port that is not given is that of the scheme, `:*` is
/// any. The path is a [`Glob`]; one that ends in `/`, or is not given, has all below it too. An address may have a
/// query only where the pattern has one, behind a `?`: again a [`Glob`], `?**` for any.
#[derive(Debug, Clone)]
pub struct Pattern {
    scheme: &'static str,
    host: Host,
    /// `None` is any.
    port: Option<u16>,
    path: Glob,
    query: Option<Glob>,
}

#[derive(Debug, Clone)]
enum Host {
    /// As a URL parser writes it.
    Exact(String),
    /// With `/` between the names, where globs stop.
    Names(Glob),
}

impl Pattern {
    /// Reads `text`; an error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\' || c == '#') {
            return Err("may not hold blanks, backslashes and #".to_owned());
        }
        let (scheme, rest) = split_scheme(text).ok_or("must begin with http:// or https://")?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = split_port(authority);
        let port = match port {
            None => Some(if scheme == "http" { 80 } else { 443 }),
            Some("*") => None,
            Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
                Some(port.parse::<u16>().map_err(|_| format!("{port:?} is no port"))?)
            }
            Some(port) => return Err(format!("{port:?} is no port")),
        };
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let path = if path.is_empty() { "/" } else { path };
        let path = if path.ends_with('/') { format!("{path}**") } else { path.to_owned() };
        Ok(Self {
            scheme,
            host: Host::compile(scheme, host)?,
            port,
            path: Glob::compile(&path)?,
            query: query.map(Glob::compile).transpose()?,
        })
    }

    /// Whether `address` is one of these.
    pub fn has(&self, address: &Address) -> bool {
        let url = &address.0;
        let query = match (address.query(), &self.query) {
            (None, None) => true,
            (Some(_), None) => false,
            (query, Some(wanted)) => wanted.is_match(query.unwrap_or_default()),
        };
        query
            && url.scheme() == self.scheme
            && self.port.is_none_or(|port| url.port_or_known_default() == Some(port))
            && self.host.is(url)
            && !address.is_ambiguous()
            && self.path.is_match(url.path())
    }
}

impl Host {
    fn compile(scheme: &str, text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} is no host: {why}");
        if text.contains('@') {
            return Err(wrong("it holds an @"));
        }
        if !text.contains('*') {
            let url =
                Url::parse(&format!("{scheme}://{text}/")).map_err(|error| wrong(&error.to_string()))?;
            let host = url.host_str().ok_or_else(|| wrong("it is empty"))?;
            let has_port = text.contains(':') && !text.starts_with('[');
            if !is_plain_host(host) || has_port {
                return Err(wrong("it holds more than letters, digits, - _ and ."));
            }
            return Ok(Self::Exact(host.to_owned()));
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'*');
        let good = |name: &str| !name.is_empty() && !name.contains("**") && name.bytes().all(plain);
        if !text.split('.').all(good) {
            return Err(wrong("with *, only letters, digits, - and _ may stand between the dots, and no **"));
        }
        Ok(Self::Names(Glob::compile(&text.to_ascii_lowercase().replace('.', "/"))?))
    }

    fn is(&self, url: &Url) -> bool {
        match (self, url.host()) {
            (Self::Exact(host), _) => url.host_str() == Some(host.as_str()),
            (Self::Names(glob), Some(url::Host::Domain(name))) => {
                !name.split('.').any(str::is_empty) && glob.is_match(&name.replace('.', "/"))
            }
            (Self::Names(_), _) => false,
        }
    }
}

/// Whether a host, as a URL parser writes it, is a name or an IP address.
fn is_plain_host(host: &str) -> bool {
    host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:[]".contains(&b))
}

/// The scheme, and what follows its `://`.
fn split_scheme(text: &str) -> Option<(&'static str, &str)> {
    let (given, rest) = text.split_once("://")?;
    let scheme = ["http", "https"].into_iter().find(|scheme| given.eq_ignore_ascii_case(scheme))?;
    Some((scheme, rest))
}

/// Host and port; the colons of an IPv6 address stand in brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}
