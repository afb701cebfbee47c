//! Addresses to listen on.

use std::fmt;

/// `host:port`; a host name is looked up when the port is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress(String);

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Parses `host:port`, or `:port` for all interfaces, as in Go.
pub fn parse_address(text: &str) -> Result<ListenAddress, String> {
    let wrong = || format!("expected HOST:PORT or :PORT, found {text:?}");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    port.parse::<u16>().map_err(|_| wrong())?;
    let is_bare_ipv6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    if is_bare_ipv6 || host.contains(char::is_whitespace) || host.contains('/') {
        return Err(wrong());
    }
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    Ok(ListenAddress(format!("{host}:{port}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_go_writes_them() {
        for (text, address) in [
            (":10902", "0.0.0.0:10902"),
            ("localhost:1", "localhost:1"),
            ("[::1]:1", "[::1]:1"),
            ("thanos-store.example:10901", "thanos-store.example:10901"),
        ] {
            assert_eq!(parse_address(text).unwrap().to_string(), address);
        }
        for text in ["10902", "localhost", "localhost:", "::1:1", "a b:1", "http://h:1", "h:99999", ""] {
            assert!(parse_address(text).is_err(), "{text}");
        }
    }
}
