//! Mail: links by which people choose a password, and what a mail server has to be like.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleet_control::app::Settings;
use fleet_control::mail::Encryption;
use rustls::ServerConfig;
use serde_json::{Value, json};

use crate::world::program::Program;
use crate::world::smtp::{PostOffice, SECRET, USER};
use crate::world::{PASSWORD, World};

const USERS: &str = "/v1/tenants/ten_default/users";

fn world(post: &PostOffice) -> World {
    let world = World::with(Settings {
        mail: Some(post.server()),
        rates: false,
        ..Settings::default()
    });
    let store = &world.running().app.store;
    let tenant = "ten_default".parse().unwrap();
    world
        .wait(store.rename_tenant(&tenant, "Pub & Söhne"))
        .unwrap();
    world
}

fn invite(world: &World, name: &str) -> Value {
    let request = json!({"email": format!("{name}@example.com"), "displayName": name});
    world.post(USERS, &request).ok()
}

fn path(user: &Value) -> String {
    format!("{USERS}/{}", user["userId"].as_str().unwrap())
}

fn forgot(world: &World, email: &str) -> crate::world::Answer {
    let body = json!({"email": email}).to_string();
    world.anyone("POST", "/v1/auth/forgot", &[], body.as_bytes())
}

fn follow(world: &World, link: &str, password: &str) -> crate::world::Answer {
    let (_, token) = link.split_once("/join?token=").unwrap();
    let body = json!({"token": token, "password": password}).to_string();
    world.anyone("POST", "/v1/auth/accept", &[], body.as_bytes())
}

#[test]
fn an_invitation_comes_by_mail_and_its_link_lets_them_in() {
    let post = PostOffice::new();
    let world = world(&post);
    let created = invite(&world, "anna");
    let invitation = &created["invitation"];
    assert_eq!(invitation["mailed"], true, "{created}");
    assert_eq!(invitation.get("link"), None, "nobody else has it");
    let mail = post.next();
    assert_eq!(mail.to, ["anna@example.com"]);
    assert_eq!(mail.from, "fleet@example.org");
    assert_eq!(mail.header("To"), "anna <anna@example.com>");
    assert_eq!(mail.header("From"), "Fleet <fleet@example.org>");
    assert!(mail.header("Message-ID").ends_with("@example.org>"));
    assert!(mail.text().contains("Pub & Söhne"), "{}", mail.text());
    assert!(mail.html().contains("Pub &#38; Söhne"), "{}", mail.html());
    let link = mail.link();
    assert!(mail.html().contains(&link));
    assert!(link.starts_with(&world.url("/join?token=")), "{link}");
    follow(&world, &link, PASSWORD).ok();
    world.session("anna");
    follow(&world, &link, PASSWORD).refused(401, "UNAUTHENTICATED");
    assert!(post.is_quiet());
}

#[test]
fn an_administrator_has_a_reset_mailed_or_shown() {
    let post = PostOffice::new();
    let world = world(&post);
    let created = invite(&world, "anna");
    follow(&world, &post.next().link(), PASSWORD).ok();
    let reset = format!("{}/invitation", path(&created["user"]));
    let mailed = world.post(&reset, &Value::Null).ok();
    assert_eq!(
        (&mailed["mailed"], mailed.get("link")),
        (&json!(true), None)
    );
    let mail = post.next();
    assert!(mail.text().contains("did not ask"), "{}", mail.text());
    let shown = world
        .post(&format!("{reset}?mail=false"), &Value::Null)
        .ok();
    assert_eq!(shown["mailed"], false);
    assert!(post.is_quiet());
    // A new link is the only good one.
    follow(&world, &mail.link(), PASSWORD).refused(401, "UNAUTHENTICATED");
    follow(
        &world,
        shown["link"].as_str().unwrap(),
        "another long password",
    )
    .ok();
    let bad = world.post(&format!("{reset}?mail=perhaps"), &Value::Null);
    bad.refused(400, "BAD_QUERY");
}

#[test]
fn a_link_that_cannot_be_mailed_is_shown_with_the_reason() {
    let post = PostOffice::new();
    let world = world(&post);
    post.says("RCPT", "550 5.1.1 nobody of that name here");
    let refused = invite(&world, "anna")["invitation"].clone();
    assert_eq!(refused["mailed"], false);
    let why = refused["mailFailure"].as_str().unwrap();
    assert!(
        why.contains("550") && why.contains("nobody of that name here"),
        "{why}"
    );
    world.accept(&refused).ok();
    post.goes_away();
    let away = invite(&world, "carl")["invitation"].clone();
    let why = away["mailFailure"].as_str().unwrap();
    assert!(why.starts_with("no connection to 127.0.0.1:"), "{why}");
    world.accept(&away).ok();
    assert!(post.is_quiet());
}

#[test]
fn a_name_that_is_made_for_it_adds_no_header() {
    let post = PostOffice::new();
    let world = world(&post);
    let broken =
        json!({"email": "anna@example.com", "displayName": "Anna\r\nBcc: eve@example.com"});
    let refused = world.post(USERS, &broken).refused(422, "VALIDATION_FAILED");
    assert_eq!(refused["errors"][0]["field"], "displayName");
    let sly =
        json!({"email": "anna@example.com", "displayName": "Anna\" <eve@example.com>, \"Bob"});
    world.post(USERS, &sly).ok();
    let mail = post.next();
    assert_eq!(mail.to, ["anna@example.com"]);
    let to = mail.header("To");
    let (name, address) = to.rsplit_once(' ').unwrap();
    assert_eq!(address, "<anna@example.com>");
    assert!(!name.contains(['<', '@', ',']), "{name}");
}

/// Whether it is recorded that somebody has.
fn has_asked(world: &World, who: &str) -> bool {
    let audit = world.get("/v1/audit").ok();
    let mut entries = audit["items"].as_array().unwrap().iter();
    entries.any(|e| e["action"] == "POST /v1/auth/forgot" && e["actor"] == who)
}

#[test]
fn whoever_forgot_a_password_gets_a_link_and_nobody_learns_who_is_there() {
    let post = PostOffice::new();
    let world = world(&post);
    invite(&world, "anna");
    follow(&world, &post.next().link(), PASSWORD).ok();
    // Somebody who was never let in asks an administrator.
    invite(&world, "carl");
    post.next();
    let unknown = forgot(&world, "nobody@example.com");
    let invited = forgot(&world, "carl@example.com");
    let known = forgot(&world, " Anna@Example.com");
    for answer in [&unknown, &invited, &known] {
        assert_eq!((answer.status, &answer.body), (202, &unknown.body));
    }
    let mail = post.next();
    assert_eq!(mail.to, ["anna@example.com"]);
    follow(&world, &mail.link(), "another long password").ok();
    let login = json!({"email": "anna@example.com", "password": "another long password"});
    world.log_in(&login).ok();
    // What is recorded is recorded after the answer.
    let begun = Instant::now();
    for who in ["anna@example.com", "carl@example.com"] {
        while !has_asked(&world, who) {
            assert!(begun.elapsed() < Duration::from_secs(30), "{who}");
        }
    }
    assert!(!has_asked(&world, "nobody@example.com"));
    assert!(post.is_quiet());
    forgot(&world, "no address").refused(422, "VALIDATION_FAILED");
}

#[test]
fn asking_again_and_again_is_refused_whether_or_not_there_is_somebody() {
    let post = PostOffice::new();
    let world = World::with(Settings {
        mail: Some(post.server()),
        ..Settings::default()
    });
    invite(&world, "anna");
    follow(&world, &post.next().link(), PASSWORD).ok();
    for email in ["anna@example.com", "nobody@example.com"] {
        for _ in 0..3 {
            forgot(&world, email).ok();
        }
        forgot(&world, email).refused(429, "RATE_LIMITED");
    }
}

#[test]
fn without_a_mail_server_links_are_shown_and_nobody_asks_by_themselves() {
    let world = World::new();
    let invitation = invite(&world, "anna")["invitation"].clone();
    assert_eq!(invitation["mailed"], false);
    assert_eq!(invitation.get("mailFailure"), None);
    world.accept(&invitation).ok();
    let refused = forgot(&world, "anna@example.com").refused(409, "NO_MAIL");
    assert!(
        refused["hint"]
            .as_str()
            .unwrap()
            .contains("fleet user reset")
    );
    let login = world.anyone("GET", "/login", &[], b"");
    assert!(!login.body.as_str().unwrap().contains("/forgot"));
}

#[test]
fn the_console_has_a_page_for_it() {
    let post = PostOffice::new();
    let world = world(&post);
    invite(&world, "anna");
    follow(&world, &post.next().link(), PASSWORD).ok();
    let login = world.anyone("GET", "/login", &[], b"").ok();
    assert!(login.as_str().unwrap().contains("href=\"/forgot\""));
    let form = world.anyone("GET", "/forgot", &[], b"").ok();
    assert!(form.as_str().unwrap().contains("action=\"/forgot\""));
    let kind = [("content-type", "application/x-www-form-urlencoded")];
    let asked = world.anyone("POST", "/forgot", &kind, b"email=anna%40example.com");
    assert!(asked.ok().as_str().unwrap().contains("on its way"));
    follow(&world, &post.next().link(), PASSWORD).ok();
    let wrong = world.anyone("POST", "/forgot", &kind, b"email=anna");
    assert_eq!(wrong.status, 422);
    assert!(
        wrong
            .body
            .as_str()
            .unwrap()
            .contains("is no e-mail address")
    );
}

#[test]
fn a_link_is_in_no_log() {
    let post = PostOffice::new();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let data = folder.path().join("data");
    let server = post.address.to_string();
    let options = [
        "--log",
        "trace",
        "--smtp-server",
        &server,
        "--smtp-tls",
        "none",
        "--mail-from",
        "fleet@example.org",
    ];
    let to = Stdio::from(std::fs::File::create(&log).unwrap());
    let program = Program::serve_with(&data, &options, to);
    let request = json!({"email": "anna@example.com", "displayName": "Anna"}).to_string();
    let (status, created) = program.ask("POST", USERS, request.as_bytes()).unwrap();
    assert_eq!(
        (status, &created["invitation"]["mailed"]),
        (201, &json!(true))
    );
    let (_, secret) = post
        .next()
        .link()
        .split_once("token=")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    drop(program);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("link mailed"), "{log}");
    assert!(!log.contains(&secret));
}

/// A certificate for `localhost`, written to `file` for those who are to trust it.
fn certificate(file: &Path) -> Arc<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(file, made.cert.pem()).unwrap();
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into());
    Arc::new(config.unwrap())
}

/// `fleet-control check` with these options, trusting whoever is in `trusted`.
#[expect(clippy::disallowed_methods, reason = "a test starts programs")]
fn check(options: &[&str], password: &str, trusted: &Path) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleet-control"));
    command.args(["check", "--listen", "127.0.0.1:0", "--data"]);
    command.arg(folder.path()).args(options);
    command
        .env("SSL_CERT_FILE", trusted)
        .env("FLEET_SMTP_PASSWORD", password);
    command.output().unwrap()
}

#[track_caller]
fn fails(output: &Output, what: &str, hint: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{text}");
    assert!(text.contains(what), "{text}");
    assert!(text.contains(hint), "{text}");
    assert!(
        !text.contains(SECRET) && !text.contains("wrong horn"),
        "{text}"
    );
}

#[test]
fn check_says_whether_mail_could_be_sent_and_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("trusted.pem");
    let stranger = folder.path().join("stranger.pem");
    let tls = certificate(&trusted);
    certificate(&stranger);
    for (encryption, how) in [
        (Encryption::Implicit, "implicit"),
        (Encryption::StartTls, "starttls"),
    ] {
        let post = PostOffice::secure(encryption, Arc::clone(&tls));
        let server = format!("localhost:{}", post.address.port());
        let options = [
            "--smtp-server",
            &server,
            "--smtp-tls",
            how,
            "--smtp-user",
            USER,
            "--mail-from",
            "fleet@example.org",
        ];
        let good = check(&options, SECRET, &trusted);
        assert!(
            good.status.success(),
            "{how}: {}",
            String::from_utf8_lossy(&good.stderr)
        );
        fails(
            &check(&options, "wrong horn", &trusted),
            "does not take user and password",
            "--smtp-user",
        );
        fails(
            &check(&options, SECRET, &stranger),
            "invalid peer certificate",
            "SSL_CERT_FILE",
        );
        fails(
            &check(&options, "", &trusted),
            "--smtp-user",
            "FLEET_SMTP_PASSWORD",
        );
        post.says("MAIL", "550 5.7.1 not your address");
        fails(
            &check(&options, SECRET, &trusted),
            "takes no mail from this sender",
            "--mail-from",
        );
        assert!(post.is_quiet(), "nothing was sent");
    }
}

#[test]
fn check_refuses_mail_that_others_could_read() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("trusted.pem");
    let tls = certificate(&trusted);
    // It offers no STARTTLS, so nothing is said to it.
    let plain = PostOffice::new();
    let server = format!("localhost:{}", plain.address.port());
    let from = ["--mail-from", "fleet@example.org"];
    let starttls = [
        "--smtp-server",
        &server,
        "--smtp-tls",
        "starttls",
        from[0],
        from[1],
    ];
    fails(
        &check(&starttls, "", &trusted),
        "STARTTLS is not supported",
        "--smtp-tls implicit",
    );
    let far = [
        "--smtp-server",
        "smtp.example.org",
        "--smtp-tls",
        "none",
        from[0],
        from[1],
    ];
    fails(&check(&far, "", &trusted), "without TLS", "localhost");
    let nobody = ["--smtp-server", &server, "--mail-from", "fleet"];
    fails(
        &check(&nobody, "", &trusted),
        "--mail-from `fleet`",
        "fleet@example.org",
    );
    fails(
        &check(&["--smtp-server", &server], "", &trusted),
        "--mail-from",
        "",
    );

    let post = PostOffice::secure(Encryption::Implicit, tls);
    let server = format!("localhost:{}", post.address.port());
    let file = folder.path().join("password");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let options = [
        "--smtp-server",
        &server,
        from[0],
        from[1],
        "--smtp-user",
        USER,
        "--smtp-password-file",
        file.to_str().unwrap(),
    ];
    let mode =
        |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    fails(
        &check(&options, "", &trusted),
        "everybody on this machine can use it",
        "chmod 0600",
    );
    mode(0o600);
    let good = check(&options, "", &trusted);
    assert!(
        good.status.success(),
        "{}",
        String::from_utf8_lossy(&good.stderr)
    );
}
