//! Who may do what, against a real control plane: people with roles, programs with keys, and the record of what they did.

use std::os::unix::fs::PermissionsExt as _;

use fleet_protocol::Sha256;
use serde_json::Value;

use crate::support::people::{PASSWORD, Person};
use crate::support::plane::Plane;

const LONG_AGO: &str = "2026-01-01T00:00:00Z";

#[track_caller]
fn json(plane: &Plane, args: &[&str]) -> Value {
    plane.fleet(&[args, &["--json"]].concat()).ok().json()
}

#[test]
fn somebody_invited_chooses_a_password_logs_in_and_out() {
    let plane = Plane::logged_in();
    let ada = Person::new(&plane, "ada");
    let email = ada.email();
    let created = json(&plane, &["user", "invite", &email, "--role", "viewer"]);
    assert_eq!(created["user"]["status"], "INVITED");
    assert_eq!(created["user"]["displayName"], "ada");
    ada.log_in(PASSWORD, &[]).fails(6, "");
    let link = created["invitation"]["link"].as_str().unwrap();
    ada.choose_password(link, "short").fails(4, "password");
    ada.choose_password(link, PASSWORD).ok();
    ada.choose_password(link, PASSWORD).fails(6, "link");

    ada.log_in("not her password", &[]).fails(6, "");
    let said = ada.log_in(PASSWORD, &["--json"]).ok().json();
    assert_eq!(said["user"]["email"], email.as_str());
    let mode = std::fs::metadata(ada.credentials())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let me = ada.json(&["whoami"]);
    assert_eq!(me["user"]["tenantRole"], "TENANT_VIEWER");
    let shown = ada.fleet(&["whoami"]).ok().stdout;
    assert!(
        shown.contains(&email) && shown.contains("viewer"),
        "{shown}"
    );

    let kept = std::fs::read(ada.credentials()).unwrap();
    ada.fleet(&["logout"]).ok();
    assert!(!ada.credentials().exists());
    ada.fleet(&["whoami"]).fails(2, "fleet login");
    ada.fleet(&["logout"]).fails(4, "nobody is logged in");
    std::fs::write(ada.credentials(), kept).unwrap();
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(ada.credentials(), mode).unwrap();
    ada.fleet(&["whoami"]).fails(6, "fleet login");
}

#[test]
fn the_first_administrator_says_who_they_are_by_the_link_of_the_first_start() {
    let plane = Plane::new();
    let ada = Person::new(&plane, "ada");
    let (link, email) = (plane.first_link(), ada.email());
    ada.choose_password(&link, PASSWORD)
        .fails(4, "your address");
    let who = ["--email", &email, "--name", "Ada"];
    ada.follow_link(&link, PASSWORD, &who).ok();
    ada.log_in(PASSWORD, &[]).ok();
    let me = ada.json(&["whoami"]);
    assert_eq!(me["administrator"], true);
    assert_eq!(me["user"]["displayName"], "Ada");
    ada.fleet(&["user", "invite", "bob@example.org"]).ok();
}

#[test]
fn at_the_first_contact_the_ca_is_trusted_by_its_fingerprint_and_then_pinned() {
    let plane = Plane::logged_in();
    let ada = Person::invited(&plane, "ada", &[]);
    std::fs::remove_file(ada.context()).unwrap();
    let server = format!("https://{}", plane.address());
    let email = ada.email();
    let args = [
        "login",
        "--server",
        &server,
        "--email",
        &email,
        "--password-stdin",
    ];
    let log_in = |more: &[&str]| ada.types(&[&args[..], more].concat(), PASSWORD);
    // Nobody is there to be asked.
    log_in(&[]).fails(2, "--ca-sha256");
    let other = Sha256::of("another CA").to_string();
    log_in(&["--ca-sha256", &other]).fails(6, "not the control plane that is meant");
    let pem = std::fs::read(plane.bench.path("fleet-data/ca.pem")).unwrap();
    let der = pem::parse(&pem).unwrap();
    let fingerprint = Sha256::of(der.contents()).to_string().to_uppercase();
    log_in(&["--ca-sha256", &fingerprint]).ok();
    ada.fleet(&["whoami"]).ok();
    log_in(&[]).ok();

    let eve = Plane::logged_in();
    let elsewhere = format!("https://{}", eve.address());
    ada.fleet(&["whoami", "--server", &elsewhere])
        .fails(5, "pinned CA");
    let ca = eve.bench.path("fleet-data/ca.pem");
    let ca = ca.to_str().unwrap();
    ada.fleet(&["whoami", "--server", &elsewhere, "--ca", ca])
        .fails(2, "not one at");
}

#[test]
fn tokens_are_renewed_at_their_end_and_when_they_are_not_taken() {
    let plane = Plane::logged_in();
    let ada = Person::logged_in(&plane, "ada", &[]);
    let kept = || std::fs::read_to_string(ada.credentials()).unwrap();
    let first = kept();
    ada.fleet(&["whoami"]).ok();
    assert_eq!(kept(), first, "it is good for a while");
    ada.change_credentials("expiresAt", LONG_AGO);
    ada.fleet(&["whoami"]).ok();
    let second = kept();
    assert_ne!(second, first);
    // The control plane's clock decides.
    plane.wait_minutes(20);
    ada.fleet(&["whoami"]).ok();
    let third = kept();
    assert_ne!(third, second);
    ada.change_credentials("accessToken", "a.b.c");
    ada.fleet(&["whoami"]).ok();
    assert_ne!(kept(), third);
    let sessions = ada.json(&["session", "list"]);
    assert_eq!(sessions["items"].as_array().unwrap().len(), 1, "{sessions}");
}

#[test]
fn many_at_once_whose_token_has_ended_use_one_refresh_token_once() {
    let plane = Plane::logged_in();
    let ada = Person::logged_in(&plane, "ada", &[]);
    ada.change_credentials("expiresAt", LONG_AGO);
    let start = |_| plane.bench.start(&["whoami"], &ada.context());
    let running: Vec<_> = (0..6).map(start).collect();
    for one in running {
        one.end().ok();
    }
    ada.fleet(&["whoami"]).ok();
}

#[test]
fn a_refresh_token_that_comes_back_ends_the_session() {
    let plane = Plane::logged_in();
    let ada = Person::logged_in(&plane, "ada", &[]);
    let stolen = std::fs::read(ada.credentials()).unwrap();
    ada.change_credentials("expiresAt", LONG_AGO);
    ada.fleet(&["whoami"]).ok();
    let good = std::fs::read(ada.credentials()).unwrap();
    std::fs::write(ada.credentials(), stolen).unwrap();
    ada.change_credentials("expiresAt", LONG_AGO);
    ada.fleet(&["whoami"]).fails(6, "fleet login");
    std::fs::write(ada.credentials(), good).unwrap();
    let ran = ada.fleet(&["whoami", "--json"]).fails_json(6);
    assert!(ran.stderr.contains("the login has ended"), "{ran:?}");
    ada.log_in(PASSWORD, &[]).ok();
    ada.fleet(&["whoami"]).ok();
}

#[test]
fn sessions_elsewhere_are_seen_and_ended_and_a_new_password_ends_them_all() {
    let plane = Plane::logged_in();
    let ada = Person::logged_in(&plane, "ada", &[]);
    let here = std::fs::read(ada.credentials()).unwrap();
    ada.log_in(PASSWORD, &[]).ok();
    let list = ada.json(&["session", "list"]);
    let other = |list: &Value| {
        let items = list["items"].as_array().unwrap().clone();
        let other = items.iter().find(|s| s["current"] == false);
        other.map(|s| s["sessionId"].as_str().unwrap().to_owned())
    };
    let shown = ada.fleet(&["session", "list"]).ok().stdout;
    assert!(
        shown.contains("this one") && shown.contains("fleet/"),
        "{shown}"
    );
    ada.fleet(&["session", "revoke", &other(&list).unwrap()])
        .ok();
    assert_eq!(other(&ada.json(&["session", "list"])), None);
    std::fs::write(ada.credentials(), here).unwrap();
    ada.fleet(&["whoami"]).fails(6, "fleet login");

    ada.log_in(PASSWORD, &[]).ok();
    // More tries at once than are let through.
    plane.wait_minutes(2);
    let changes = |from: &str, to: &str| {
        ada.types(
            &["password", "--password-stdin"],
            &format!("{from}\n{to}\n"),
        )
    };
    changes("not her password", "another long password").fails(4, "password");
    changes(PASSWORD, "another long password").ok();
    ada.fleet(&["whoami"]).ok();
    ada.log_in(PASSWORD, &[]).fails(6, "");
    ada.log_in("another long password", &[]).ok();
}

#[test]
fn a_role_at_a_venue_does_not_reach_beyond_it_and_the_refusal_says_so() {
    let plane = Plane::logged_in();
    let bar = ["venue", "create", "Bar", "--timezone", "Europe/London"];
    let bar = json(&plane, &bar)["venueId"].as_str().unwrap().to_owned();
    let ada = Person::logged_in(&plane, "ada", &["--venue", "Bar=viewer"]);
    for seen in [
        ["schedule", "show"],
        ["device", "list"],
        ["playlist", "list"],
    ] {
        let in_bar = if seen[0] == "playlist" {
            &[][..]
        } else {
            &["--venue", "Bar"]
        };
        ada.fleet(&[&seen, in_bar].concat()).ok();
    }
    ada.fleet(&["venue", "group", "list", "--venue", "Bar"])
        .ok();
    ada.fleet(&["device", "list"]).fails(4, "may not do this");
    let start = ada
        .fleet(&["rollout", "start", "2.0.0"])
        .fails(4, "ada@example.org may not do this");
    assert!(start.stderr.contains("ask an administrator"), "{start:?}");
    ada.fleet(&["user", "list"]).fails(4, "may not do this");
    let roles = [("ven_default=manager", 4), ("Bar=manager", 0)];
    for (role, code) in roles {
        json(&plane, &["user", "roles", "ada@example.org", role]);
        let ran = ada.fleet(&["venue", "group", "create", role, "--venue", &bar]);
        assert_eq!(ran.code, code, "{role}: {ran:?}");
    }
    let change = ["user", "change", "ada@example.org", "--role", "admin"];
    assert_eq!(json(&plane, &change)["tenantRole"], "TENANT_ADMIN");
    assert_eq!(ada.json(&["whoami"])["administrator"], true);
    let change = ["user", "change", "ada@example.org", "--no-role"];
    plane.fleet(&change).fails(4, "nobody would be left");
    Person::logged_in(&plane, "bea", &["--role", "admin"]);
    assert_eq!(json(&plane, &change).get("tenantRole"), None);
    let none = json(&plane, &["user", "roles", "ada@example.org", "--none"]);
    assert!(none["venueRoles"].as_array().unwrap().is_empty());
}

#[test]
fn users_are_listed_kept_out_let_in_and_given_a_new_link() {
    let plane = Plane::logged_in();
    let ada = Person::logged_in(&plane, "ada", &["--capability", "manage-releases"]);
    plane.fleet(&["user", "invite", "bob@example.org"]).ok();
    plane
        .fleet(&["user", "invite", "bob@example.org"])
        .fails(4, "belongs to a user already");
    let count = |args: &[&str]| {
        let list = json(&plane, &[&["user", "list"], args].concat());
        list["items"].as_array().unwrap().len()
    };
    // With the first administrator, who has not come yet.
    assert_eq!(count(&[]), 3);
    assert_eq!(count(&["bob"]), 1);
    assert_eq!(count(&["--status", "active"]), 1);
    let list = plane.fleet(&["user", "list"]).ok().stdout;
    assert!(
        list.contains("manage-releases") && list.contains("invited"),
        "{list}"
    );
    plane
        .fleet(&["user", "show", "eve@example.org"])
        .fails(3, "eve@example.org");

    plane.fleet(&["user", "disable", "ADA@example.org"]).ok();
    ada.fleet(&["whoami"]).fails(6, "fleet login");
    ada.log_in(PASSWORD, &[]).fails(6, "");
    let enabled = json(&plane, &["user", "enable", "ada@example.org"]);
    assert_eq!(enabled["status"], "ACTIVE");
    ada.log_in(PASSWORD, &[]).ok();
    let link = json(&plane, &["user", "reset", "ada@example.org"]);
    let link = link["link"].as_str().unwrap();
    ada.choose_password(link, "another long password").ok();
    ada.log_in("another long password", &[]).ok();
}

#[test]
fn a_second_factor_is_asked_for_until_it_is_taken_off() {
    let plane = Plane::logged_in();
    let ada = Person::logged_in(&plane, "ada", &[]);
    let args = ["totp", "enable", "--json"];
    let mut enable = plane.bench.start(&args, &ada.context());
    let begun: Value = serde_json::from_str(&enable.line()).unwrap();
    assert!(begun["uri"].as_str().unwrap().starts_with("otpauth://"));
    enable.write(&format!(
        "{}\n",
        code(&plane, begun["secret"].as_str().unwrap())
    ));
    let confirmed: Value = enable.end().ok().json();
    let recovery = |n: usize| confirmed["recoveryCodes"][n].as_str().unwrap();

    let ran = ada.log_in(PASSWORD, &["--json"]).fails_json(6);
    assert!(ran.stderr.contains("TOTP_REQUIRED"), "{ran:?}");
    assert!(ran.stderr.contains("--code"), "{ran:?}");
    ada.log_in(PASSWORD, &["--code", "000000"]).fails(6, "code");
    plane.wait_minutes(2);
    ada.log_in(PASSWORD, &["--code", recovery(0)]).ok();
    ada.log_in(PASSWORD, &["--code", recovery(0)])
        .fails(6, "used before");
    ada.fleet(&["totp", "disable", "--code", "000000"])
        .fails(6, "code");
    ada.fleet(&["whoami"]).ok();
    let off = ["user", "reset", "ada@example.org", "--second-factor"];
    assert_eq!(json(&plane, &off)["totp"], false);
    let shown = ada.fleet(&["totp", "enable"]).stdout;
    assert!(
        shown.contains("█") && shown.contains("type its secret"),
        "{shown}"
    );
}

/// What an authenticator shows now.
fn code(plane: &Plane, secret: &str) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).build().unwrap();
    totp.generate(plane.now().as_second().unsigned_abs())
        .to_string()
}

#[test]
fn a_key_may_do_what_its_scope_says_until_it_is_revoked() {
    let plane = Plane::logged_in();
    let create = [
        "api-key", "create", "ci", "--valid", "90d", "--out", "ci.token",
    ];
    let scope = ["--scope", "read"];
    let made = plane.fleet(&[&create[..], &scope].concat()).ok();
    assert!(!made.stdout.contains("fleet_key_"), "{made:?}");
    let written = std::fs::metadata(plane.bench.path("ci.token")).unwrap();
    assert_eq!(written.permissions().mode() & 0o777, 0o600);
    plane
        .fleet(&[&create[..], &scope].concat())
        .fails(4, "ci.token");

    let by_key = |args: &[&str]| plane.fleet(&[args, &["--token-file", "ci.token"]].concat());
    by_key(&["device", "list"]).ok();
    let me = by_key(&["whoami", "--json"]).ok().json();
    assert_eq!(
        (&me["name"], &me["administrator"]),
        (&"ci".into(), &false.into())
    );
    by_key(&["rollout", "start", "2.0.0"]).fails(4, "ci may not do this");
    by_key(&["user", "invite", "eve@example.org"]).fails(4, "");
    by_key(&["session", "list"]).fails(4, "log in as a person");
    by_key(&[
        "login",
        "--server",
        &format!("https://{}", plane.address()),
        "--ca",
        "fleet-data/ca.pem",
    ])
    .ok();
    plane.fleet(&["device", "list"]).ok();
    plane.fleet(&["login", "--data", "fleet-data"]).ok();

    let shown = json(
        &plane,
        &["api-key", "create", "other", "--scope", "administer"],
    );
    assert!(shown["secret"].as_str().unwrap().starts_with("fleet_key_"));
    let list = plane.fleet(&["api-key", "list"]).ok().stdout;
    assert!(
        list.contains("read") && !list.contains("fleet_key_"),
        "{list}"
    );
    plane.fleet(&["api-key", "revoke", "ci"]).ok();
    by_key(&["device", "list"]).fails(6, "");
    plane.fleet(&["api-key", "revoke", "ci"]).fails(3, "ci");
    plane
        .fleet(&["api-key", "create", "none"])
        .fails_usage("--scope");
}

#[test]
fn the_record_is_exported_and_checked_and_a_changed_one_is_found_out() {
    let plane = Plane::logged_in();
    let ada = Person::logged_in(&plane, "ada", &[]);
    ada.fleet(&["user", "list"]).fails(4, "");
    ada.fleet(&["device", "enrol"]).fails(4, "");
    let list = json(&plane, &["audit", "list", "ada@example.org"]);
    let newest = &list["items"][0];
    assert_eq!(newest["outcome"], "REFUSED", "{list}");
    assert_eq!(newest["actor"], "ada@example.org");
    let one = json(&plane, &["audit", "list", "--limit", "1"]);
    assert_eq!(one["items"].as_array().unwrap().len(), 1);
    let shown = plane.fleet(&["audit", "list"]).ok().stdout;
    assert!(shown.contains("refused 403"), "{shown}");

    let exported = json(&plane, &["audit", "export", "audit.ndjson"]);
    let check = json(&plane, &["audit", "check"]);
    assert_eq!(check["entries"], exported["entries"]);
    assert_eq!(check["head"], exported["head"]);
    let head = exported["head"].as_str().unwrap();
    // Offline: nobody is logged in there.
    let nobody = Person::new(&plane, "nobody");
    let offline = |file: &str| nobody.fleet(&["audit", "check", file, "--head", head]);
    offline("audit.ndjson").ok();
    let text = std::fs::read_to_string(plane.bench.path("audit.ndjson")).unwrap();
    let tampered = text.replace("REFUSED", "DONE");
    std::fs::write(plane.bench.path("tampered"), tampered).unwrap();
    offline("tampered").fails(1, "does not hold at entry");
    let lines: Vec<&str> = text.lines().collect();
    let cut = lines[..lines.len() - 1].join("\n");
    std::fs::write(plane.bench.path("cut"), cut).unwrap();
    offline("cut").fails(1, "ends before the head");
    nobody.fleet(&["audit", "check", "cut"]).ok();
    ada.fleet(&["audit", "export", "mine"]).fails(4, "may not");
    let stdout = plane.fleet(&["audit", "export", "-"]).ok().stdout;
    assert!(stdout.starts_with(&text), "more may have been done since");
}
