//! What a control plane and an operator are handed: requests, files, backups and exported records.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::path::Path;

use crate::survives;

/// What people and programs send: each document of the API that asks for something.
pub fn request_bodies(data: &[u8]) {
    use fleet_protocol::{
        access, alert, content, device, enrolment, player, release, schedule, webhook,
    };
    survives::<access::LogIn>(data);
    survives::<access::Refresh>(data);
    survives::<access::ChangePassword>(data);
    survives::<access::AcceptInvitation>(data);
    survives::<access::TotpCode>(data);
    survives::<access::CreateUser>(data);
    survives::<access::ChangeUser>(data);
    survives::<access::PutVenueRoles>(data);
    survives::<access::CreateApiKey>(data);
    survives::<alert::AlertRules>(data);
    survives::<webhook::PutWebhook>(data);
    survives::<enrolment::ClaimPairing>(data);
    survives::<content::CreateOverride>(data);
    survives::<content::CreateUpload>(data);
    survives::<content::CreatePlaylist>(data);
    survives::<content::PutEntries>(data);
    survives::<content::Reorder>(data);
    survives::<content::Rollback>(data);
    survives::<content::CreateVenue>(data);
    survives::<content::CreateGroup>(data);
    survives::<content::SetSlots>(data);
    survives::<schedule::ScheduleSlot>(data);
    survives::<device::ChangeDevice>(data);
    survives::<release::SetReleaseStatus>(data);
    survives::<player::ProofOfPlayBatch>(data);
    survives::<player::PlayerCommand>(data);
}

/// Where a webhook is to go: never to a machine beside the control plane, and the request that is made of it says the same.
pub fn webhook_url(data: &[u8]) {
    use fleet_control::domain::webhooks::target::{Reach, Scheme, Target, check};
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for reach in [Reach::Public, Reach::Everywhere] {
        let Ok(target) = Target::parse(text, reach) else {
            continue;
        };
        if let Ok(address) = target.host.parse() {
            assert_eq!(check(address, reach), Ok(()));
        }
        let scheme = match target.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let (authority, path) = (target.authority(), &target.path_and_query);
        assert!(path.starts_with('/') && !authority.contains('/'));
        // It may have grown by a slash, beyond the longest.
        if text.len() < 1_900 {
            let again = Target::parse(&format!("{scheme}://{authority}{path}"), reach);
            assert_eq!(again, Ok(target));
        }
    }
}

/// A picture that somebody sent. What is said to be playable is within the limits.
///
/// No films: the crate that reads them never ends on some tables (a box of no size within `mdia`), which the limits
/// of the process that looks at files turn into `PROCESSING_TIMEOUT`; here it would hide all else.
pub fn media_files(data: &[u8]) {
    use fleet_control::media::{Limits, look};
    if data.get(4..8) == Some(b"ftyp") {
        return;
    }
    let limits = Limits {
        picture_edges: (640, 480),
        ..Limits::default()
    };
    let Ok(seen) = look(Cursor::new(data), &limits) else {
        return;
    };
    assert!(seen.width_px > 0 && seen.height_px > 0);
    assert_eq!(seen.duration_ms, None);
    let thumbnail = seen.thumbnail.expect("a picture has a small one");
    assert!(thumbnail.starts_with(&[0xff, 0xd8]));
}

/// An exported audit record: as many entries as there are lines at most, and the head is only known if all hold.
pub fn audit_record(data: &[u8]) {
    use fleet_protocol::Sha256;
    let mut chain = fleet_cli::audit::Chain::new();
    let mut lines = 0;
    let read = chain.follow_all(data, |_| lines += 1);
    read.expect("bytes in memory can be read");
    let check = chain.check();
    assert!(check.entries <= lines);
    let is_fresh = check.entries == 0 && check.head == Sha256::from_bytes([0; 32]);
    assert!(is_fresh || check.entries > 0);
    assert_eq!(check.broken_at.is_none(), check.entries == lines);
    assert!(check.broken_at.is_none_or(|at| at == check.entries + 1));
}

/// A backup: as a file, as what is in the compressed archive, and as the list of its files with all else put right.
/// Whatever it holds, nothing is written but the announced files, below the folder.
pub fn backup_archive(data: &[u8]) {
    unpack(data);
    unpack(&compressed(data));
    if let Some(archive) = archive_of(data) {
        unpack(&compressed(&archive));
    }
}

fn unpack(file: &[u8]) {
    use fleet_control::backup::{Archive, BackupError, Progress};
    const MOST_BYTES: u64 = 1 << 20;
    let outside = super::scratch();
    let (archive, into) = (outside.path().join("archive"), outside.path().join("into"));
    std::fs::write(&archive, file).expect("a file can be written");
    std::fs::create_dir(&into).expect("a folder can be made");
    let small = |contents: &fleet_control::backup::Contents| {
        let error = BackupError::NotEmpty(into.clone());
        let is_small = contents.size_bytes() <= MOST_BYTES && contents.files.len() < 100;
        is_small.then_some(()).ok_or(error)
    };
    let unpacked = Archive::open(&archive).and_then(|a| a.unpack(&into, &Progress::none(), small));
    let mut there = BTreeMap::new();
    list(outside.path(), outside.path(), &mut there);
    assert!(
        there
            .keys()
            .all(|path| path == "archive" || path.starts_with("into/"))
    );
    if let Ok(contents) = unpacked {
        for file in &contents.files {
            let size = there.get(&format!("into/{}", file.path));
            assert_eq!(size, Some(&file.size_bytes), "{}", file.path);
        }
        // The archive and the header.
        assert_eq!(there.len(), contents.files.len() + 2);
    }
}

/// Every file below, with its size.
fn list(root: &Path, folder: &Path, files: &mut BTreeMap<String, u64>) {
    for entry in std::fs::read_dir(folder).expect("it can be listed") {
        let entry = entry.expect("it can be listed");
        let metadata = entry.metadata().expect("it is there");
        if metadata.is_dir() {
            list(root, &entry.path(), files);
        } else {
            let path = entry.path();
            let below = path.strip_prefix(root).expect("it was found there");
            files.insert(below.to_string_lossy().into_owned(), metadata.len());
        }
    }
}

fn compressed(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 1).expect("bytes in memory can be compressed")
}

/// An archive whose header is `header`, and that holds what it announces.
fn archive_of(header: &[u8]) -> Option<Vec<u8>> {
    use fleet_protocol::Sha256;
    let contents: fleet_control::backup::Contents = serde_json::from_slice(header).ok()?;
    let is_small = contents.files.len() <= 16 && contents.size_bytes() <= 1 << 16;
    let mut sums = Vec::new();
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, content: &[u8]| {
        let mut entry = tar::Header::new_gnu();
        // As it is: the builder's own check is not what is tried here.
        let field = &mut entry.as_old_mut().name;
        field
            .get_mut(..name.len())?
            .copy_from_slice(name.as_bytes());
        entry.set_size(content.len() as u64);
        entry.set_mode(0o600);
        entry.set_cksum();
        archive.append(&entry, content).ok()
    };
    add("fleet-backup.json", header)?;
    writeln!(sums, "{}  fleet-backup.json", Sha256::of(header)).ok()?;
    for file in contents.files.iter().filter(|_| is_small) {
        let content = vec![b'x'; usize::try_from(file.size_bytes).ok()?];
        add(&file.path, &content)?;
        writeln!(sums, "{}  {}", Sha256::of(&content), file.path).ok()?;
    }
    add("SHA256SUMS", &sums)?;
    archive.into_inner().ok()
}
