//! `java.net.URI`, as far as `parse_url` shows it.

/// The parts of a URI, all as written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Uri<'t> {
    pub scheme: Option<&'t str>,
    pub authority: Option<&'t str>,
    pub user_info: Option<&'t str>,
    pub host: Option<&'t str>,
    /// `None` if what follows the scheme does not begin with a slash.
    pub path: Option<&'t str>,
    pub query: Option<&'t str>,
    pub fragment: Option<&'t str>,
}

impl<'t> Uri<'t> {
    /// `None` where Java throws `URISyntaxException`.
    pub(super) fn parse(text: &'t str) -> Option<Self> {
        legal(text).then_some(())?;
        let mut uri = Self::default();
        let (mut rest, fragment) = match text.split_once('#') {
            Some((rest, fragment)) => (rest, Some(fragment)),
            None => (text, None),
        };
        uri.fragment = fragment;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        if let Some(colon) = rest.get(..end).and_then(|head| head.find(':')) {
            let (scheme, tail) = rest.split_at(colon);
            let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
            let begins = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
            (begins && scheme.chars().all(name)).then_some(())?;
            uri.scheme = Some(scheme);
            rest = tail.get(1..)?;
            if rest.is_empty() {
                return None;
            }
            if !rest.starts_with('/') {
                return Some(uri);
            }
        }
        if let Some((head, query)) = rest.split_once('?') {
            (rest, uri.query) = (head, Some(query));
        }
        if let Some(tail) = rest.strip_prefix("//") {
            let (authority, path) = tail.split_at(tail.find('/').unwrap_or(tail.len()));
            if authority.is_empty() && path.is_empty() {
                return None;
            }
            if !authority.is_empty() {
                uri.take_authority(authority)?;
            }
            rest = path;
        }
        uri.path = Some(rest);
        Some(uri)
    }

    /// An authority that is not `[user@]host[:port]` has no host.
    fn take_authority(&mut self, authority: &'t str) -> Option<()> {
        self.authority = Some(authority);
        let (user, server) = match authority.split_once('@') {
            Some((user, server)) => (Some(user), server),
            None => (None, authority),
        };
        let (host, port) = if server.starts_with('[') {
            let close = server.find(']')?;
            let (host, port) = server.split_at(close + 1);
            let address = host.get(1..close)?;
            let address = address.split('%').next().unwrap_or(address);
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port)
        } else {
            server.split_at(server.find(':').unwrap_or(server.len()))
        };
        let port_fits = port.is_empty()
            || port
                .strip_prefix(':')
                .is_some_and(|p| p.chars().all(|c| c.is_ascii_digit()));
        if port_fits && (host.starts_with('[') || is_host_name(host)) {
            self.host = Some(host);
            self.user_info = user;
        }
        Some(())
    }
}

fn is_host_name(host: &str) -> bool {
    if host.parse::<std::net::Ipv4Addr>().is_ok() {
        return true;
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let label = |l: &str| {
        !l.is_empty()
            && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.split('.').all(label) && last.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn legal(text: &str) -> bool {
    const MARKS: &str = "_-!.~'()*,;:$&+=?/[]@#";
    let mut hashes = 0;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let fine = match c {
            '#' => {
                hashes += 1;
                hashes == 1
            }
            '%' => {
                let mut hex = || chars.next().is_some_and(|c| c.is_ascii_hexdigit());
                hex() && hex()
            }
            c if c.is_ascii() => c.is_ascii_alphanumeric() || MARKS.contains(c),
            c => !c.is_control() && !c.is_whitespace(),
        };
        if !fine {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authority_splits_into_user_host_and_port() {
        let uri = Uri::parse("http://u:p@a.b:80/c?d=1#e").unwrap();
        assert_eq!(uri.user_info, Some("u:p"));
        assert_eq!(uri.host, Some("a.b"));
        assert_eq!(uri.path, Some("/c"));
        assert_eq!(uri.query, Some("d=1"));
        assert_eq!(uri.fragment, Some("e"));
    }

    #[test]
    fn illegal_characters_and_escapes_are_refused() {
        for text in [
            "http://a/b c",
            "http://a/%g0",
            "a b",
            "http://a/#b#c",
            "http://a/{x}",
            "1a:b",
        ] {
            assert_eq!(Uri::parse(text), None, "{text}");
        }
    }
}
