//! Who may call: the same three questions before every request to either listener.
//!
//! *Host*: a page on the web can point its own name at this machine and then talk to it from a visitor's
//! browser as if it were its own server (DNS rebinding); so only known names are answered. *Origin*: a page can
//! also send requests here openly; a browser then says where they come from, and other origins are refused.
//! *Token*: compared in constant time. There is no CORS: no other page has any business here.

use crate::config::BearerToken;
use crate::problem::Problem;
use http::{HeaderMap, StatusCode, Version, header, request::Parts};
use std::net::{IpAddr, SocketAddr};

/// The rule of one listener.
#[derive(Clone, Debug)]
pub struct Access {
    /// The address that is listened on.
    pub bound: SocketAddr,
    /// Further names it goes by, in lower case.
    pub hosts: Vec<String>,
    /// The token that callers present; `None` where none is demanded.
    pub token: Option<BearerToken>,
}

impl Access {
    /// Host and Origin.
    ///
    /// # Errors
    /// 400 without one clear host, 403 for a foreign one.
    pub fn check_origin(&self, request: &Parts) -> Result<(), Problem> {
        let host = host_of(request)?;
        if !self.knows(host_name(host)) {
            let detail = format!(
                "this server does not go by the name {:?}; use its address, or list the name in `hosts`",
                host_name(host)
            );
            return Err(Problem::new(StatusCode::FORBIDDEN, "foreign-host", "Foreign host", detail));
        }
        if is_followed_link(request) {
            return Ok(());
        }
        check_origin(&request.headers, host)
    }

    /// The token.
    ///
    /// # Errors
    /// 401 when it is missing or wrong.
    pub fn check_token(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(token) = &self.token else { return Ok(()) };
        let presented =
            headers.get(header::AUTHORIZATION).map(http::HeaderValue::as_bytes).unwrap_or_default();
        let bearer = match presented.split_at_checked(7) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer ") => rest,
            _ => b"",
        };
        if token.matches(bearer) {
            return Ok(());
        }
        let detail = if presented.is_empty() {
            "send the token as `Authorization: Bearer …`"
        } else {
            "the token presented is not the one configured"
        };
        Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "A token is needed", detail))
    }

    /// All of it.
    ///
    /// # Errors
    /// As the two checks.
    pub fn check(&self, request: &Parts) -> Result<(), Problem> {
        self.check_origin(request)?;
        self.check_token(&request.headers)
    }

    fn knows(&self, name: &str) -> bool {
        if let Ok(ip) = name.trim_matches(['[', ']']).parse::<IpAddr>() {
            // Rebinding needs a name. An address is what it is; on loopback, only loopback makes sense.
            return !self.bound.ip().is_loopback() || ip.to_canonical().is_loopback();
        }
        name.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
    }
}

/// The one host that the request names.
fn host_of(request: &Parts) -> Result<&str, Problem> {
    let mut hosts = request.headers.get_all(header::HOST).iter();
    let bad = |detail: &str| Problem::bad_request("host", detail);
    let host = match (hosts.next(), hosts.next(), request.uri.authority()) {
        (Some(host), None, _) => host.to_str().map_err(|_| bad("the Host header is not text"))?,
        (None, _, Some(authority)) => authority.as_str(),
        (None, _, None) if request.version <= Version::HTTP_11 => {
            return Err(bad("the request names no Host"));
        }
        _ => return Err(bad("the request names more than one Host")),
    };
    match request.uri.authority() {
        Some(authority) if authority.as_str() != host => {
            Err(bad("the request line and the Host header disagree"))
        }
        _ => Ok(host),
    }
}

/// The name in a Host value, without its port.
fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// Whether a person followed a link to a page here. The page that had the link learns nothing of the answer, and
/// reading changes nothing; a frame has another `Sec-Fetch-Dest`.
fn is_followed_link(request: &Parts) -> bool {
    let says = |name: &str, value: &str| request.headers.get(name).is_some_and(|found| found == value);
    request.method == http::Method::GET
        && says("sec-fetch-mode", "navigate")
        && says("sec-fetch-dest", "document")
        && !request.headers.contains_key(header::ORIGIN)
}

fn check_origin(headers: &HeaderMap, host: &str) -> Result<(), Problem> {
    let foreign =
        |detail: String| Err(Problem::new(StatusCode::FORBIDDEN, "foreign-origin", "Foreign origin", detail));
    if let Some(site) = headers.get("sec-fetch-site")
        && !matches!(site.as_bytes(), b"same-origin" | b"none")
    {
        return foreign("the request comes from another site".to_owned());
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let own = origin
        .split_once("://")
        .is_some_and(|(scheme, rest)| matches!(scheme, "http" | "https") && rest.eq_ignore_ascii_case(host));
    if own { Ok(()) } else { foreign(format!("the origin {origin:?} is not this server")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn access(bound: &str) -> Access {
        let token = BearerToken::new("admin", "0123456789abcdef").expect("fit");
        let hosts = vec!["seawall.internal".to_owned()];
        Access { bound: bound.parse().expect("an address"), hosts, token: Some(token) }
    }

    fn status(bound: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().uri("/v1/pipelines");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        access(bound).check(&parts).map_or_else(|problem| problem.status().as_u16(), |()| 200)
    }

    const TOKEN: (&str, &str) = ("authorization", "Bearer 0123456789abcdef");

    #[test]
    fn only_known_hosts_are_answered() {
        for host in
            ["127.0.0.1:9090", "localhost:9090", "LOCALHOST", "[::1]:9090", "[::1]", "seawall.internal:1"]
        {
            assert_eq!(status("127.0.0.1:9090", &[("host", host), TOKEN]), 200, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9090",
            "10.0.0.1",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "a:b:c",
        ] {
            assert_eq!(status("127.0.0.1:9090", &[("host", host), TOKEN]), 403, "{host}");
        }
        assert_eq!(status("10.0.0.1:9090", &[("host", "10.0.0.1:9090"), TOKEN]), 200);
        assert_eq!(status("10.0.0.1:9090", &[("host", "evil.example"), TOKEN]), 403);
        assert_eq!(status("127.0.0.1:9090", &[TOKEN]), 400);
        assert_eq!(status("127.0.0.1:9090", &[("host", "localhost"), ("host", "evil.example"), TOKEN]), 400);
    }

    #[test]
    fn a_link_elsewhere_may_be_followed_and_nothing_more() {
        let from = |more: &[(&str, &str)]| {
            let own = [("host", "localhost:9090"), TOKEN, ("sec-fetch-site", "cross-site")];
            status("127.0.0.1:9090", &[&own, more].concat())
        };
        assert_eq!(from(&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]), 200);
        assert_eq!(from(&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")]), 403);
        assert_eq!(from(&[("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")]), 403);
        let posted = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("origin", "null")];
        assert_eq!(from(&posted), 403);
    }

    #[test]
    fn other_origins_are_refused() {
        let with =
            |name, value| status("127.0.0.1:9090", &[("host", "localhost:9090"), TOKEN, (name, value)]);
        assert_eq!(with("origin", "http://localhost:9090"), 200);
        for origin in [
            "http://evil.example",
            "null",
            "http://localhost:9091",
            "http://localhost:9090.evil.example",
            "file://",
        ] {
            assert_eq!(with("origin", origin), 403, "{origin}");
        }
        assert_eq!(with("sec-fetch-site", "same-origin"), 200);
        assert_eq!(with("sec-fetch-site", "none"), 200);
        assert_eq!(with("sec-fetch-site", "cross-site"), 403);
        assert_eq!(with("sec-fetch-site", "same-site"), 403);
    }

    #[test]
    fn the_token_is_demanded() {
        let host = ("host", "localhost");
        assert_eq!(status("127.0.0.1:9090", &[host]), 401);
        for value in [
            "Bearer wrong",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
            "Bearer",
        ] {
            assert_eq!(status("127.0.0.1:9090", &[host, ("authorization", value)]), 401, "{value}");
        }
        assert_eq!(status("127.0.0.1:9090", &[host, ("authorization", "bearer 0123456789abcdef")]), 200);
    }
}
