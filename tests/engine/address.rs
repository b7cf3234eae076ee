//! Which addresses a gate may ask, and which of them an event may choose.

use kickoff::engine::address::{Address, Allowed, Pattern};

fn has(pattern: &str, url: &str) -> bool {
    let address = Address::parse(url).unwrap_or_else(|wrong| panic!("{url}: {wrong}"));
    Pattern::parse(pattern).unwrap_or_else(|wrong| panic!("{pattern}: {wrong}")).has(&address)
}

#[test]
fn a_pattern_has_what_it_says() {
    for (pattern, url) in [
        ("http://web.shop.svc/healthz", "http://web.shop.svc/healthz"),
        ("http://web.shop.svc/healthz", "HTTP://WEB.shop.svc:80/healthz"),
        ("http://web.shop.svc/healthz", "http://%77eb.shop.svc/healthz"),
        ("http://web.shop.svc/healthz", "http://web.shop.svc/admin/../healthz"),
        ("http://web.shop.svc/healthz", "http://web.shop.svc/healthz?"),
        ("HTTP://Web.Shop.svc:80/healthz", "http://web.shop.svc/healthz"),
        ("https://web/", "https://web:443"),
        ("http://web", "http://web/"),
        ("http://web", "http://web/a/b"),
        ("http://web/", "http://web/a/b"),
        ("http://web/a/", "http://web/a/b/c"),
        ("http://web/a/", "http://web/a/"),
        ("http://web/*/healthz", "http://web/v1/healthz"),
        ("http://web/{ready,live}", "http://web/live"),
        ("http://*.shop.svc/*", "http://web.shop.svc/healthz"),
        ("http://*.shop.svc/*", "http://web.shop.svc"),
        ("http://web-*.shop-*.svc/", "http://web-1.shop-a.svc/"),
        ("http://web:8080/", "http://web:8080/"),
        ("http://web:*/", "http://web:8080/"),
        ("http://web:*/", "http://web/"),
        ("http://web/ready?**", "http://web/ready"),
        ("http://web/ready?**", "http://web/ready?a=b/c"),
        ("http://web/ready?full=*", "http://web/ready?full=1"),
        ("http://127.0.0.1/", "http://127.1/"),
        ("http://127.0.0.1/", "http://2130706433/"),
        ("http://[::1]:8080/", "http://[0:0::1]:8080/"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://web.shop.svc./", "http://web.shop.svc./"),
    ] {
        assert!(has(pattern, url), "{pattern} {url}");
    }
}

#[test]
fn a_pattern_has_nothing_else() {
    for (pattern, url) in [
        ("http://web.shop.svc/healthz", "https://web.shop.svc/healthz"),
        ("http://web.shop.svc/healthz", "http://web.shop.svc:8080/healthz"),
        ("http://web.shop.svc/healthz", "http://web.shop.svc/healthz/more"),
        ("http://web.shop.svc/healthz", "http://web.shop.svc/healthzz"),
        ("http://web.shop.svc/healthz", "http://web.shop.svc/HEALTHZ"),
        ("http://web.shop.svc/healthz", "http://web.shop.svc//healthz"),
        ("http://web.shop.svc/healthz", "http://web.shop.svc/healthz?drop=1"),
        ("http://web.shop.svc/healthz", "http://web.shop.svc.evil.example/healthz"),
        ("http://web.shop.svc/healthz", "http://evil.example/web.shop.svc/healthz"),
        ("http://web.shop.svc/healthz", "http://evil.example/?http://web.shop.svc/healthz"),
        ("http://web.shop.svc/healthz", "http://web.shop.svc./healthz"),
        ("http://web/a/", "http://web/a"),
        ("http://web/a/", "http://web/a/../b"),
        ("http://web/a/", "http://web/a/%2e%2e/b"),
        ("http://web/a/", "http://web/a/..%2fb"),
        ("http://web/a/", "http://web/a/..%5Cb"),
        ("http://web/a/", "http://web/a/%252e%252e/b"),
        ("http://web/a/", "http://web/a/..;/b"),
        ("http://web/a/", "http://web/a/b%00"),
        ("http://web/*", "http://web/a/b"),
        ("http://*.shop.svc/", "http://shop.svc/"),
        ("http://*.shop.svc/", "http://a.b.shop.svc/"),
        ("http://*.shop.svc/", "http://.shop.svc/"),
        ("http://*.shop.svc/", "http://web.shop.svc./"),
        ("http://*.shop.svc/", "http://webxshop.svc/"),
        ("http://*.*.*.*/", "http://127.0.0.1/"),
        ("http://*.*.*.*/", "http://0x7f.1/"),
        ("http://*/", "http://2130706433/"),
        ("http://*/", "http://[::1]/"),
        ("http://*/", "http://localhost.evil/"),
        ("http://127.0.0.1/", "http://[::ffff:127.0.0.1]/"),
        ("http://web:8080/", "http://web/"),
        ("http://web/ready?full=*", "http://web/ready"),
        ("http://web", "http://web/?a"),
    ] {
        assert!(!has(pattern, url), "{pattern} {url}");
    }
}

#[test]
fn an_address_that_is_read_in_two_ways_is_none() {
    for (url, wrong) in [
        ("http://web.shop.svc@evil.example/", "a user's name"),
        ("http://web.shop.svc:80@evil.example/", "a user's name"),
        ("http://:secret@web/", "a user's name or password"),
        ("http:///web.shop.svc@evil.example/", "a user's name"),
        ("http://evil.example\\@web.shop.svc/", "a backslash"),
        ("http://web.shop.svc\\.evil.example/", "a backslash"),
        ("http://web\n.shop.svc/", "a control character"),
        (" http://web/", "a blank"),
        ("http://web/\u{2028}", "a blank"),
        ("http://web/\u{0}", "a control character"),
        ("http:web", "must begin with http:// or https://"),
        ("//web/", "must begin with"),
        ("web/healthz", "must begin with"),
        ("file:///etc/passwd", "must begin with"),
        ("gopher://web:70/", "must begin with"),
        ("javascript:alert(1)//://", "must begin with"),
        ("http://", "is no URL: empty host"),
        ("http://web:99999/", "is no URL: invalid port number"),
        ("http://a b/", "a blank"),
        ("http://a';b/", "a host with other characters"),
        ("http://${HOST}/", "a host with other characters"),
        ("http://*.shop.svc/", "a host with other characters"),
        ("http://[::1/", "is no URL"),
        ("http://web/#x", "has a #"),
        ("", "must begin with"),
    ] {
        let error = Address::parse(url).expect_err(url);
        assert!(error.contains(wrong), "{url}: {error}");
    }
    let long = format!("http://web/{}", "a".repeat(2_048));
    assert_eq!(Address::parse(&long).unwrap_err(), "has more than 2048 bytes");
}

#[test]
fn what_was_read_is_what_is_asked() {
    for (url, asked) in [
        ("HTTP://WEB:80", "http://web/"),
        ("http://web/a/./b/../c%20d", "http://web/a/c%20d"),
        ("http://0177.1/", "http://127.0.0.1/"),
        ("https://web:443/ä", "https://web/%C3%A4"),
    ] {
        assert_eq!(Address::parse(url).unwrap().as_str(), asked, "{url}");
    }
}

#[test]
fn a_pattern_that_makes_no_sense_is_refused() {
    for (pattern, wrong) in [
        ("web.shop.svc", "must begin with http:// or https://"),
        ("*://web/", "must begin with"),
        ("http://", "is no host: empty host"),
        ("http:///healthz", "is no host: empty host"),
        ("http://web:port/", "\"port\" is no port"),
        ("http://web:/", "\"\" is no port"),
        ("http://web:+80/", "\"+80\" is no port"),
        ("http://web:99999/", "\"99999\" is no port"),
        ("http://web@evil/", "it holds an @"),
        ("http://a:80:90/", "more than letters"),
        ("http://{a,b}.svc/", "more than letters"),
        ("http://**.svc/", "no **"),
        ("http://*..svc/", "with *"),
        ("http://*.svc./", "with *"),
        ("http://{a,*}.svc/", "with *"),
        ("http://web/[", "is not a glob"),
        ("http://web/ a", "may not hold blanks"),
        ("http://web/#a", "may not hold blanks, backslashes and #"),
    ] {
        let error = Pattern::parse(pattern).expect_err(pattern);
        assert!(error.contains(wrong), "{pattern}: {error}");
    }
}

#[test]
fn a_refusal_says_what_would_let_it() {
    let listed = |patterns: &[&str]| {
        Allowed::Listed(patterns.iter().map(|pattern| Pattern::parse(pattern).unwrap()).collect())
    };
    let none = listed(&["http://web/", "http://db/"]);
    for (url, add) in [
        ("http://evil.example/x", "http://evil.example/x"),
        ("https://evil:8443/a/b?c", "https://evil:8443/a/b?**"),
        ("http://evil/%6fk", "http://evil/%6fk"),
        ("http://[::1]:80/", "http://[::1]/"),
    ] {
        let address = Address::parse(url).unwrap();
        let refusal = none.refuses(&address).expect(url);
        assert!(refusal.contains(&format!("start the server with --gate-allow '{add}'")), "{url}: {refusal}");
        assert_eq!(listed(&[add]).refuses(&address), None, "{add} has {url}");
        assert_eq!(Allowed::Unknown.refuses(&address), None);
    }
    // What people copy into a shell is no other text than they think, and lets no more than was asked.
    for url in ["http://evil/*", "http://evil/a'b"] {
        let refusal = none.refuses(&Address::parse(url).unwrap()).expect(url);
        assert_eq!(refusal, format!("{url:?} is none of the addresses that events may choose"));
    }
    let address = Address::parse("http://web/a%2Fb").unwrap();
    let refusal = none.refuses(&address).unwrap();
    assert!(refusal.contains("in its path, which an event may not choose anywhere"), "{refusal}");
    assert_eq!(Allowed::Unknown.refuses(&address), Some(refusal), "no list lets it");
    assert_eq!(none.refuses(&Address::parse("http://web/a").unwrap()), None);
}
