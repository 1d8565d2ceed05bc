//! Headers in which proxies describe the client behind them. Any client can send these headers, so the host reads only
//! the values that a trusted proxy has written.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

const FOR: &str = "x-forwarded-for";
const HOST: &str = "x-forwarded-host";

/// Returns the address of the client behind `proxies` proxies, of which `peer` is the nearest.
///
/// Each proxy adds the address that it sees to the end of the list, so the client of the outermost proxy is the entry
/// `proxies` places from the end. The client may have invented the entries before that.
pub(super) fn client(
    peer: Option<SocketAddr>,
    headers: &HeaderMap,
    proxies: usize,
) -> Option<SocketAddr> {
    let Some(behind) = proxies.checked_sub(1) else {
        return peer;
    };
    let lines = headers.get_all(FOR).iter();
    let hops: Vec<&str> = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .collect();
    let client = hops.iter().rev().nth(behind).or(hops.first());
    client.and_then(|hop| address(hop)).or(peer)
}

/// Returns the host name that the client requested from the outermost proxy.
pub(super) fn host(headers: &HeaderMap) -> Option<&str> {
    let line = headers.get(HOST)?.to_str().ok()?;
    line.split(',').next().map(str::trim)
}

/// Parses `192.0.2.1`, `192.0.2.1:4000`, `2001:db8::1` or `[2001:db8::1]:4000`.
fn address(hop: &str) -> Option<SocketAddr> {
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    hop.parse()
        .ok()
        .or_else(|| Some(SocketAddr::new(bare.parse::<IpAddr>().ok()?, 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(proxies: usize, lines: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FOR, line.parse().unwrap());
        }
        let peer = "10.0.0.1:5000".parse().ok();
        client(peer, &headers, proxies).unwrap().to_string()
    }

    #[test]
    fn the_client_is_the_last_hop_that_nobody_vouches_for() {
        let two = ["6.6.6.6, 192.0.2.1", "10.0.0.2"];
        for (proxies, lines, expected) in [
            (0, &two[..], "10.0.0.1:5000"),
            (1, &two, "10.0.0.2:0"),
            (2, &two, "192.0.2.1:0"),
            (9, &two, "6.6.6.6:0"),
            (1, &[], "10.0.0.1:5000"),
            (1, &["unknown"], "10.0.0.1:5000"),
            (1, &["[2001:db8::1]:4000"], "[2001:db8::1]:4000"),
            (1, &["2001:db8::1"], "[2001:db8::1]:0"),
            (1, &["[2001:db8::1]"], "[2001:db8::1]:0"),
        ] {
            assert_eq!(behind(proxies, lines), expected, "{proxies} {lines:?}");
        }
    }
}
