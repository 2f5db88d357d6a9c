use std::cell::Cell;

use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn logged_in(user: &str, access: &str, left_s: i64) -> LoggedIn {
    LoggedIn {
        ca_sha256: Sha256::of("a CA"),
        tokens: tokens(user, access, left_s),
    }
}

fn tokens(user: &str, access: &str, left_s: i64) -> Tokens {
    serde_json::from_value(serde_json::json!({
        "accessToken": access, "expiresAt": NOW + SignedDuration::from_secs(left_s),
        "refreshToken": format!("refresh-{access}"),
        "refreshExpiresAt": NOW + SignedDuration::from_hours(24),
        "user": {"userId": user, "tenantId": "ten_a", "email": "ada@example.org", "displayName": "Ada"},
    }))
    .unwrap()
}

struct Bench {
    folder: tempfile::TempDir,
    file: CredentialFile,
}

impl Bench {
    fn keeping(kept: Option<&LoggedIn>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = CredentialFile::of_context(&folder.path().join("context.toml"));
        if let Some(kept) = kept {
            file.lock().unwrap().save(kept).unwrap();
        }
        Self { folder, file }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("context.credentials.json")
    }

    fn kept(&self) -> LoggedIn {
        self.file.load().unwrap().unwrap()
    }

    fn renew(
        &self,
        held: &LoggedIn,
        refresh: impl FnOnce(&Tokens) -> Result<Tokens>,
    ) -> Result<LoggedIn> {
        self.file.lock().unwrap().renew(held, NOW, refresh)
    }
}

fn not_asked(_: &Tokens) -> Result<Tokens> {
    panic!("the refresh token was used")
}

#[test]
fn the_file_is_the_owners_alone_and_one_that_others_can_read_is_not_used() {
    let bench = Bench::keeping(Some(&logged_in("usr_1", "a", 600)));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&bench.path()), 0o600);
    assert!(bench.kept() == logged_in("usr_1", "a", 600));
    std::fs::set_permissions(bench.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = bench.file.load().err().unwrap();
    assert_eq!(error.kind, Kind::Refused);
    assert!(error.hints[0].contains("chmod 600"), "{error:?}");
}

#[test]
fn without_a_file_nobody_is_logged_in_and_a_damaged_one_says_so() {
    let bench = Bench::keeping(None);
    assert!(bench.file.load().unwrap().is_none());
    store::write(&bench.path(), b"{", Access::OwnerOnly, Existing::Keep).unwrap();
    let error = bench.file.load().err().unwrap();
    assert!(error.hints[0].contains("fleet login"), "{error:?}");
    bench.file.lock().unwrap().remove().unwrap();
    bench.file.lock().unwrap().remove().unwrap();
    assert!(bench.file.load().unwrap().is_none());
}

#[test]
fn new_tokens_are_on_disk_before_anybody_has_them() {
    let old = logged_in("usr_1", "old", 5);
    let bench = Bench::keeping(Some(&old));
    let used = Cell::new(0);
    let renewed = bench.renew(&old, |kept| {
        used.set(used.get() + 1);
        assert_eq!(kept.refresh_token, "refresh-old");
        Ok(tokens("usr_1", "new", 600))
    });
    assert_eq!(used.get(), 1);
    assert!(renewed.unwrap() == bench.kept());
    assert_eq!(bench.kept().tokens.access_token, "new");
}

#[test]
fn what_another_process_renewed_is_taken_over_without_a_second_refresh() {
    let old = logged_in("usr_1", "old", 5);
    let bench = Bench::keeping(Some(&logged_in("usr_1", "new", 600)));
    let taken = bench.renew(&old, not_asked).unwrap();
    assert_eq!(taken.tokens.access_token, "new");
}

#[test]
fn an_access_token_that_was_not_taken_is_renewed_though_the_clock_says_it_is_good() {
    let held = logged_in("usr_1", "a", 600);
    let bench = Bench::keeping(Some(&held));
    let renewed = bench.renew(&held, |_| Ok(tokens("usr_1", "b", 600)));
    assert_eq!(renewed.unwrap().tokens.access_token, "b");
}

#[test]
fn a_login_that_is_gone_or_is_anothers_is_not_taken_over() {
    let held = logged_in("usr_1", "a", 5);
    let elsewhere = LoggedIn {
        ca_sha256: Sha256::of("another CA"),
        ..held.clone()
    };
    let somebody_else = logged_in("usr_2", "b", 600);
    for kept in [None, Some(&elsewhere), Some(&somebody_else)] {
        let error = Bench::keeping(kept).renew(&held, not_asked).err().unwrap();
        assert_eq!(error.kind, Kind::Unauthorized);
        assert!(error.hints[0].contains("fleet login"), "{error:?}");
    }
}

#[test]
fn a_refused_refresh_leads_to_a_login_and_leaves_the_file_as_it_was() {
    let held = logged_in("usr_1", "a", 5);
    let bench = Bench::keeping(Some(&held));
    for kind in [Kind::Unauthorized, Kind::Unreachable] {
        let refused = |_: &Tokens| Err(CommandError::new(kind, "no"));
        let error = bench.renew(&held, refused).err().unwrap();
        assert_eq!(error.kind, kind);
        assert!(error.hints[0].contains("fleet login"), "{error:?}");
        assert!(bench.kept() == held);
    }
}

#[test]
fn of_many_at_once_one_uses_the_refresh_token() {
    let old = logged_in("usr_1", "old", 5);
    let bench = Bench::keeping(Some(&old));
    let used = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let renewed = bench.renew(&old, |kept| {
                    used.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    assert_eq!(kept.refresh_token, "refresh-old");
                    Ok(tokens("usr_1", "new", 600))
                });
                assert_eq!(renewed.unwrap().tokens.access_token, "new");
            });
        }
    });
    assert_eq!(used.into_inner(), 1);
}
