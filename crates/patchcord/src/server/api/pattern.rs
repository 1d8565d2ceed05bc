//! Namespaces of an API key.

/// Returns `true` if a path has the form of a pattern: `*` stands for one or more characters other than `/`.
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    let mut segments = (pattern.split('/'), path.split('/'));
    loop {
        match (segments.0.next(), segments.1.next()) {
            (None, None) => return true,
            (Some(pattern), Some(segment)) if matches_segment(pattern, segment) => {}
            _ => return false,
        }
    }
}

/// Compares one segment. Its time is at most the product of both lengths.
fn matches_segment(pattern: &str, segment: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == segment;
    };
    let Some(mut left) = segment.strip_prefix(start) else {
        return false;
    };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        // The star before this part stands for at least one character.
        let mut characters = left.chars();
        if characters.next().is_none() {
            return false;
        }
        let tail = characters.as_str();
        if parts.peek().is_none() {
            return tail.ends_with(part);
        }
        match tail.find(part) {
            Some(at) => left = tail.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_a_part_of_one_segment() {
        let all = ["/", "/chat", "/room/7", "/room/", "/room/7/x", "/rooms/7"];
        let matching = |pattern: &str| -> Vec<&str> {
            let mut all = all.to_vec();
            all.retain(|path| matches(pattern, path));
            all
        };
        assert_eq!(matching("/"), ["/"]);
        assert_eq!(matching("/chat"), ["/chat"]);
        assert_eq!(matching("/*"), ["/chat"]);
        assert_eq!(matching("/room/*"), ["/room/7"]);
        assert_eq!(matching("/r*/7"), ["/room/7", "/rooms/7"]);
        assert_eq!(matching("/r*m/*"), ["/room/7"]);
        assert_eq!(matching("/*/*/*"), ["/room/7/x"]);
        assert!(matches("/a*b*c", "/axbyc") && !matches("/a*b*c", "/abc"));
        assert!(matches("/ä*ö", "/äüö") && !matches("/ä*ö", "/äö"));
        assert!(!matches("/a*aa", "/aaa") && matches("/a*aa", "/aaaa"));
    }
}
