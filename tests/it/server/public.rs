//! Files beside the scripts: which of them everybody may read, and how browsers get them.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use patchcord::{HostEvent, script::Memory, server::Config};
use tempfile::TempDir;

use crate::support::server::{Running, http_bytes, says};

const SCRIPT: (&str, &str) = ("main.rhai", "fn on_connection(socket) { }");

async fn running(change: impl FnOnce(&mut Config)) -> Running {
    let mut options = patchcord::testing::options();
    options.clients.origins = vec!["https://a.example".parse().unwrap()];
    let scripts = Memory::from([SCRIPT]);
    let build = |builder: patchcord::HostBuilder| builder.loader(scripts).options(options);
    Running::configured(build, change).await.0
}

/// Returns a folder with some files in `public`, and a secret file outside.
fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    write(place.path(), "secret.txt", "secret");
    write(place.path(), "public/index.html", "<title>mine</title>");
    write(place.path(), "public/more/index.html", "more");
    write(place.path(), "public/more/about.txt", "about");
    place
}

fn write(place: &Path, name: &str, text: &str) {
    let path = place.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn link(target: &str, place: &TempDir, name: &str) {
    symlink(target, place.path().join("public").join(name)).unwrap();
}

fn pipe(place: &TempDir, name: &str) {
    let path = place.path().join("public").join(name);
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

async fn serving(place: &TempDir) -> Running {
    let public = place.path().join("public");
    running(|config| {
        config.private = vec![public.join("options.toml")];
        config.public = Some(public);
    })
    .await
}

#[tokio::test]
async fn ordinary_files_are_served_also_through_links_inside_the_folder() {
    let place = place();
    write(place.path(), "public/.well-known/security.txt", "contact");
    write(place.path(), "public/other.toml", "other");
    link("more/about.txt", &place, "about");
    link("more", &place, "again");
    let running = serving(&place).await;
    for (path, expected) in [
        ("/", "<title>mine</title>"),
        ("/index.html", "<title>mine</title>"),
        ("/more/", "more"),
        ("/more/about.txt", "about"),
        ("/about", "about"),
        ("/again/", "more"),
        ("/again/about.txt", "about"),
        ("/.well-known/security.txt", "contact"),
        ("/other.toml", "other"),
    ] {
        let answer = running.get(path).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        assert!(
            answer.ends_with(&format!("\r\n\r\n{expected}")),
            "{path}: {answer}"
        );
        assert_eq!(
            says(&answer, "x-content-type-options").as_deref(),
            Some("nosniff")
        );
    }
}

#[tokio::test]
async fn hidden_files_scripts_options_and_what_lies_outside_do_not_exist() {
    let place = place();
    for name in [
        ".env",
        ".git/config",
        "more/.htpasswd",
        ".well-known/.hidden",
        ".well-known-2/a",
        "main.rhai",
        "MAIN.RHAI",
        "lib/names.rhai",
        "main.rhai~",
        "options.toml",
    ] {
        write(place.path(), &format!("public/{name}"), "secret");
    }
    link("../secret.txt", &place, "outside.txt");
    link("/etc/passwd", &place, "passwd");
    link("..", &place, "up");
    link("main.rhai", &place, "script.txt");
    link(".git", &place, "git");
    link("options.toml", &place, "options.txt");
    link("loop", &place, "loop");
    fs::create_dir(place.path().join("public/led")).unwrap();
    link("../../secret.txt", &place, "led/index.html");
    let running = serving(&place).await;
    for path in [
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/.git/",
        "/.git",
        "//.git//config",
        "/more/.htpasswd",
        "/.well-known/.hidden",
        "/.well-known-2/a",
        "/main.rhai",
        "/main%2Erhai",
        "/MAIN.RHAI",
        "/lib/names.rhai",
        "/main.rhai~",
        "/options.toml",
        "/options.txt",
        "/./options.toml",
        "/outside.txt",
        "/passwd",
        "/up/secret.txt",
        "/up",
        "/script.txt",
        "/git/config",
        "/loop",
        "/led/",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/more/..%2f..%2fsecret.txt",
        "/nothing",
    ] {
        for method in ["GET", "HEAD"] {
            let request =
                format!("{method} {path} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n\r\n");
            let answer = running.http(&request).await;
            assert!(
                answer.starts_with("HTTP/1.1 404"),
                "{method} {path}: {answer}"
            );
            assert!(!answer.contains("secret"), "{method} {path}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_folder_is_found_without_a_slash_and_never_on_another_server() {
    let place = place();
    fs::create_dir(place.path().join("public/a:b")).unwrap();
    let running = serving(&place).await;
    for (path, expected) in [
        ("/more", "./more/"),
        ("//more", "./more/"),
        ("///more", "./more/"),
        ("/more?a=1&b=//x", "./more/?a=1&b=//x"),
        ("/a:b", "./a:b/"),
    ] {
        let answer = running.get(path).await;
        assert!(answer.starts_with("HTTP/1.1 307"), "{path}: {answer}");
        assert_eq!(
            says(&answer, "location").as_deref(),
            Some(expected),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_pipe_holds_up_no_other_file() {
    let place = place();
    pipe(&place, "pipe");
    pipe(&place, "pipe.html");
    fs::create_dir(place.path().join("public/piped")).unwrap();
    pipe(&place, "piped/index.html");
    let running = serving(&place).await;
    let paths = ["/pipe", "/pipe.html", "/piped/"];
    let asked = (0..600).map(|n| running.get(paths[n % paths.len()]));
    let answers = futures_util::future::join_all(asked).await;
    for answer in answers {
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
    assert!(running.get("/more/about.txt").await.ends_with("about"));
}

#[tokio::test]
async fn the_built_in_pages_are_restricted_to_their_own_files_and_stand_in_no_frame() {
    let running = running(|_| {}).await;
    for path in [
        "/",
        "/echo",
        "/whiteboard",
        "/assets/page.js",
        "/assets/whiteboard.css",
    ] {
        let answer = running.get(path).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        let policy = says(&answer, "content-security-policy").expect(path);
        assert!(
            policy.contains("default-src 'none'") && policy.contains("script-src 'self'"),
            "{policy}"
        );
        assert!(
            policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(
            says(&answer, "x-content-type-options").as_deref(),
            Some("nosniff")
        );
        assert_eq!(
            says(&answer, "referrer-policy").as_deref(),
            Some("no-referrer")
        );
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        for absolute in ["\"/", "<script>", "<style>", "style=\"", " onclick"] {
            assert!(
                !body.contains(absolute) || path.starts_with("/assets"),
                "{path}: {absolute}"
            );
        }
    }
}

#[tokio::test]
async fn the_built_in_pages_know_where_the_endpoint_is() {
    let mut options = patchcord::testing::options();
    options.transport.path = "/live/ws".to_owned();
    let running = Running::new(&[SCRIPT], |b| b.options(options)).await;
    for path in ["/", "/whiteboard"] {
        let answer = running.get(path).await;
        assert!(
            answer.contains("<meta name=\"socket-io-path\" content=\"live/ws/\">"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_page_that_asks_for_the_client_that_is_not_served_is_announced_once() {
    let place = place();
    write(place.path(), "public/socket.io/socket.io.js", "mine");
    let mut running = serving(&place).await;
    assert!(
        running
            .get("/socket.io/socket.io.js")
            .await
            .ends_with("mine")
    );
    for _ in 0..2 {
        let answer = running.get("/socket.io/socket.io.min.js").await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
    assert!(
        running
            .get("/socket.io/other.js")
            .await
            .starts_with("HTTP/1.1 404")
    );
    let _ = running.get("/socket.io/socket.io.esm.min.js").await;
    let announced = running.announced_so_far().into_iter();
    let missing = announced.filter_map(|event| match event {
        HostEvent::BundleMissing { path } => Some(path),
        _ => None,
    });
    assert_eq!(missing.collect::<Vec<_>>(), ["/socket.io/socket.io.min.js"]);
}

/// Returns a server of the official client, with files in `place`.
async fn bundle(place: &TempDir) -> Running {
    write(
        place.path(),
        "dist/socket.io.js",
        &"const client = 1;\n".repeat(1000),
    );
    write(
        place.path(),
        "dist/socket.io.esm.min.js",
        "export const io = 1;",
    );
    write(place.path(), "dist/socket.io.js.map", "{}");
    let dist = place.path().join("dist");
    running(|config| config.client_dist = Some(dist)).await
}

#[tokio::test]
async fn pages_that_may_connect_load_the_client_as_a_module() {
    let place = place();
    let running = bundle(&place).await;
    let get = async |origin: &str| {
        let request = format!(
            "GET /socket.io/socket.io.esm.min.js HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n{origin}\r\n"
        );
        running.http(&request).await
    };
    let allow = "access-control-allow-origin";
    let answer = get("Origin: https://a.example\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(says(&answer, allow).as_deref(), Some("https://a.example"));
    let answer = get("").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(says(&answer, allow), None);
    assert!(answer.to_lowercase().contains("vary: origin"), "{answer}");
    let answer = get("Origin: https://evil.example\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert_eq!(says(&answer, allow), None);
}

#[tokio::test]
async fn the_client_has_types_and_is_compressed_and_kept_by_browsers() {
    let place = place();
    let running = bundle(&place).await;
    for (path, expected) in [
        ("/socket.io/socket.io.js", "text/javascript; charset=utf-8"),
        (
            "/socket.io/socket.io.esm.min.js",
            "text/javascript; charset=utf-8",
        ),
        ("/socket.io/socket.io.js.map", "application/json"),
    ] {
        let answer = running.get(path).await;
        assert_eq!(
            says(&answer, "content-type").as_deref(),
            Some(expected),
            "{path}"
        );
        assert!(says(&answer, "last-modified").is_some(), "{answer}");
        let tag = says(&answer, "etag").unwrap();
        let again = format!(
            "GET {path} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\nIf-None-Match: {tag}\r\n\r\n"
        );
        let answer = running.http(&again).await;
        assert!(answer.starts_with("HTTP/1.1 304"), "{answer}");
    }
    let request = "GET /socket.io/socket.io.js HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
        Accept-Encoding: gzip, br\r\n\r\n";
    let answer = http_bytes(running.address, request).await;
    let text = String::from_utf8_lossy(&answer);
    assert_eq!(
        says(&text, "content-encoding").as_deref(),
        Some("gzip"),
        "{text}"
    );
    assert!(
        text.to_lowercase().contains("vary: accept-encoding"),
        "{text}"
    );
    let tag = says(&text, "etag").unwrap();
    assert!(
        tag.starts_with("W/"),
        "it is another sequence of bytes: {tag}"
    );
    let again = request.replace(
        "Accept-Encoding",
        &format!("If-None-Match: {tag}\r\nAccept-Encoding"),
    );
    let answer_again = running.http(&again).await;
    assert!(answer_again.starts_with("HTTP/1.1 304"), "{answer_again}");
    assert!(answer.len() < 2000, "18,000 bytes take {}", answer.len());
}
