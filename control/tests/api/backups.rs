//! Backups of a server that works, and everything that may have happened to them since.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fleet_control::backup::{BackupError, Present, Progress, Restored, Scope, create, restore};
use fleet_control::clock::Clock;
use fleet_protocol::Sha256;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::load::{Kept, begin, lost};
use crate::world::World;
use crate::world::program::{Program, run};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "lock")
        .collect();
    names.sort();
    names
}

#[test]
fn a_backup_has_every_write_that_was_acknowledged_before_it_began() {
    let folder = TempDir::new().unwrap();
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let file = folder.path().join("fleet.backup");
    let mut program = Program::serve(&data);
    let kept: Vec<Kept> = std::thread::scope(|scope| {
        let acknowledged = begin(scope, &program, 0);
        let mut kept: Vec<Kept> = acknowledged.iter().take(30).collect();
        kept.extend(acknowledged.try_iter());
        let made = run(&["backup", "--json", "fleet.backup"], &data);
        assert!(made.status.success(), "{made:?}");
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        assert_eq!(made["sizeBytes"], file.metadata().unwrap().len());
        // Writing went on all the time.
        assert!(acknowledged.try_iter().count() > 0);
        program.signal(nix::sys::signal::Signal::SIGTERM);
        kept
    });
    program.wait();
    assert_eq!(mode(&file), 0o600);
    assert_eq!(files(&data.join("..")), ["data", "fleet.backup"]);
    assert!(!data.join(".backup").exists());

    let restored = run(&["restore", "fleet.backup"], &copy);
    assert!(restored.status.success(), "{restored:?}");
    for secret in ["pki/ca.key.pem", "admin-token", "fleet.db"] {
        assert_eq!(mode(&copy.join(secret)), 0o600, "{secret}");
    }
    for name in ["pki/ca.key.pem", "pki/ca.cert.pem", "admin-token", "ca.pem"] {
        let read = |folder: &Path| fs::read(folder.join(name)).unwrap();
        assert!(read(&data) == read(&copy), "{name}");
    }
    assert_eq!(lost(&Program::serve(&copy), &kept), []);
}

/// A control plane's backup.
struct Taken {
    folder: TempDir,
    file: PathBuf,
    world: World,
    runtime: Runtime,
}

impl Taken {
    fn new(scope: Scope) -> Self {
        let (world, folder) = (World::embedded(), TempDir::new().unwrap());
        world.publish("2.0.0");
        // One that does not fit into a single block of the archive.
        let bundle: String = (0..8_000)
            .map(|n: u32| Sha256::of(n.to_string()).to_string())
            .collect();
        let path = format!("/v1/bundles/{}", Sha256::of(&bundle));
        world.operator_raw("PUT", &path, bundle.as_bytes()).ok();
        let (file, runtime) = (folder.path().join("fleet.backup"), Runtime::new().unwrap());
        let (now, progress) = (Clock::system().now(), Progress::none());
        let made = create(world.data.path(), &file, scope, now, &progress);
        runtime.block_on(made).unwrap();
        Self {
            folder,
            file,
            world,
            runtime,
        }
    }

    fn restore(&self, data: &Path, present: Present) -> Result<Restored, BackupError> {
        let progress = Progress::none();
        self.runtime
            .block_on(restore(&self.file, data, present, &progress))
    }

    /// The archive without its compression.
    fn tar(&self) -> Vec<u8> {
        zstd::decode_all(fs::File::open(&self.file).unwrap()).unwrap()
    }

    fn put_tar(&self, tar: &[u8]) {
        fs::write(&self.file, zstd::encode_all(tar, 1).unwrap()).unwrap();
    }

    /// That nothing of it comes into the folder, and nothing beside it; `expected` is in what is said.
    #[track_caller]
    fn is_refused(&self, expected: &str) {
        let data = self.folder.path().join("inner/data");
        fs::create_dir_all(&data).unwrap();
        let error = self.restore(&data, Present::Refuse).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expected), "{text}, not {expected}");
        assert!(text.contains("fleet.backup"), "{text} names the backup");
        assert!(!error.hint().is_empty());
        assert_eq!(files(&data), [""; 0]);
        assert_eq!(files(&self.folder.path().join("inner")), ["data"]);
        assert_eq!(files(self.folder.path()), ["fleet.backup", "inner"]);
    }
}

#[test]
fn a_backup_that_ends_early_or_was_changed_is_refused() {
    let taken = Taken::new(Scope::Everything);
    let whole = fs::read(&taken.file).unwrap();
    for (length, expected) in [
        (0, "is no backup"),
        (10, "ends early or is damaged, at `fleet-backup.json`"),
        (
            whole.len() / 2,
            "ends early or is damaged, at `bundles/ten_default/",
        ),
        (whole.len() - 1, "ends early or is damaged"),
    ] {
        fs::write(&taken.file, &whole[..length]).unwrap();
        taken.is_refused(expected);
    }
    for place in [whole.len() / 3, whole.len() / 2, whole.len() - 2] {
        let mut changed = whole.clone();
        changed[place] ^= 0x10;
        fs::write(&taken.file, &changed).unwrap();
        taken.is_refused("");
    }
    fs::write(&taken.file, "something else altogether").unwrap();
    taken.is_refused("is no backup");
}

#[test]
fn a_changed_file_is_named_even_if_the_archive_is_whole() {
    let taken = Taken::new(Scope::Everything);
    let mut tar = taken.tar();
    let bundle = b"bundle of 2.0.0";
    let at = tar
        .windows(bundle.len())
        .rposition(|w| w == bundle)
        .unwrap();
    tar[at] = b'B';
    taken.put_tar(&tar);
    taken.is_refused(".raucb` is not what was backed up: its SHA-256 is another");
}

/// Rewrites the archive: each file as (name, content).
fn rewrite(tar: &[u8], change: impl Fn(&mut Vec<(tar::Header, Vec<u8>)>)) -> Vec<u8> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        (entry.header().clone(), content)
    });
    let mut entries: Vec<_> = entries.collect();
    change(&mut entries);
    let mut builder = tar::Builder::new(Vec::new());
    for (mut header, content) in entries {
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// `tar` refuses to write such a name, so it goes in by hand.
fn rename(header: &mut tar::Header, name: &str) {
    let field = &mut header.as_old_mut().name;
    field.fill(0);
    field[..name.len()].copy_from_slice(name.as_bytes());
}

type Entries = Vec<(tar::Header, Vec<u8>)>;

fn announce(entries: &mut Entries, path: &str) {
    let mut header: Value = serde_json::from_slice(&entries[0].1).unwrap();
    header["files"][1]["path"] = path.into();
    entries[0].1 = header.to_string().into_bytes();
    rename(&mut entries[2].0, path);
}

#[test]
fn a_backup_made_to_do_harm_does_none() {
    let taken = Taken::new(Scope::Everything);
    let tar = taken.tar();
    let check = |expected: &str, change: &dyn Fn(&mut Entries)| {
        taken.put_tar(&rewrite(&tar, change));
        taken.is_refused(expected);
    };
    for path in [
        "../evil",
        "../../evil",
        "/tmp/evil",
        "a/../../evil",
        ".restored/x",
        "./x",
    ] {
        let named = format!("`{path}` is not what was backed up");
        check(&named, &|entries| announce(entries, path));
        check(&named, &|entries| rename(&mut entries[2].0, path));
    }
    for path in ["lock", "fleet.db-wal", "fleet.db", "SHA256SUMS"] {
        check("is not what was backed up", &|entries| {
            announce(entries, path);
        });
    }
    for kind in [
        tar::EntryType::Symlink,
        tar::EntryType::Link,
        tar::EntryType::Fifo,
    ] {
        check("as a file", &|entries| {
            entries[2].0.set_entry_type(kind);
            entries[2].0.set_link_name("/etc/passwd").unwrap();
            entries[2].1.clear();
        });
    }
    check("should be in its place", &|entries| entries.swap(1, 2));
    check("bytes instead of", &|entries| entries[2].1.push(b'x'));
    check("it follows the end", &|entries| {
        let more = entries[2].clone();
        entries.push(more);
    });
    check("ends early", &|entries| drop(entries.pop()));
    check("is no backup", &|entries| drop(entries.remove(0)));
    check("does not name it", &|entries| {
        entries.last_mut().unwrap().1.clear();
    });
    check("does not parse", &|entries| entries[0].1 = b"{}".to_vec());
}

#[test]
fn whatever_happens_to_an_archive_is_refused_or_changes_nothing() {
    let taken = Taken::new(Scope::WithoutMedia);
    let tar = taken.tar();
    let good = taken.folder.path().join("good");
    taken.restore(&good, Present::Refuse).unwrap();
    let content = |folder: &Path, name: &str| fs::read(folder.join(name)).unwrap();
    for round in 0..48 {
        let secret = fleet_control::clock::random_secret();
        let number = u64::from_str_radix(&secret[..15], 16).unwrap();
        let place = usize::try_from(number).unwrap() % tar.len();
        let mut changed = tar.clone();
        changed[place] ^= 1 << (number % 8);
        taken.put_tar(&changed);
        let data = taken.folder.path().join(format!("round-{round}"));
        if taken.restore(&data, Present::Refuse).is_err() {
            assert_eq!(files(&data), [""; 0], "byte {place}");
            continue;
        }
        for name in ["fleet.db", "pki/ca.key.pem", "admin-token"] {
            assert!(
                content(&good, name) == content(&data, name),
                "byte {place}: {name}"
            );
        }
    }
}

#[test]
fn a_backup_of_a_newer_schema_is_refused_with_the_version_that_made_it() {
    let taken = Taken::new(Scope::Everything);
    let newer = rewrite(&taken.tar(), |entries| {
        let mut header: Value = serde_json::from_slice(&entries[0].1).unwrap();
        header["schema"] = 9_999.into();
        header["version"] = "7.0.0".into();
        entries[0].1 = header.to_string().into_bytes();
    });
    taken.put_tar(&newer);
    taken.is_refused("made by fleet-control 7.0.0, with schema 9999");
}

#[test]
fn what_is_there_is_replaced_only_by_force_and_kept_aside() {
    let taken = Taken::new(Scope::WithoutMedia);
    let running = taken.restore(taken.world.data.path(), Present::Replace);
    assert!(matches!(running, Err(BackupError::InUse(_))), "{running:?}");

    let other = World::embedded();
    let data = TempDir::new().unwrap();
    let copied = fs::copy(other.data.path().join("ca.pem"), data.path().join("ca.pem"));
    copied.unwrap();
    let media = data.path().join("assets/ten_default");
    fs::create_dir_all(&media).unwrap();
    let refused = taken.restore(data.path(), Present::Refuse);
    assert!(
        matches!(refused, Err(BackupError::NotEmpty(_))),
        "{refused:?}"
    );
    assert_eq!(files(data.path()), ["assets", "ca.pem"]);

    let restored = taken.restore(data.path(), Present::Replace).unwrap();
    assert_eq!(restored.left_out, ["assets", "bundles", "support-bundles"]);
    assert!(media.exists(), "media that the backup left out stay");
    let ours = fs::read(taken.world.data.path().join("ca.pem")).unwrap();
    assert!(fs::read(data.path().join("ca.pem")).unwrap() == ours);
    let aside = restored.replaced.unwrap();
    assert_eq!(files(&aside), ["ca.pem"]);
    let again = taken.restore(data.path(), Present::Replace);
    assert!(matches!(again, Err(BackupError::Kept(_))), "{again:?}");
}
