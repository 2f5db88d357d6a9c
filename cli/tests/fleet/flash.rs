//! `fleet flash` onto files, beside the tools that others would use: bmaptool, sfdisk, mtools.

use std::fs;
use std::os::unix::fs::FileExt as _;

use crate::support::Bench;

const MIB: u64 = 1 << 20;

const PROVISION: &str = r#"{
  "serverUrl": "https://fleet.example:8443",
  "caCertificatePem": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
  "enrolmentToken": "once",
  "serverTime": "2026-01-01T00:00:00Z"
}
"#;

/// `disk.img` of 64 MiB: ESP (FAT, 40 MiB), a partition with noise, gaps; and its block map.
fn bench() -> Bench {
    let bench = Bench::new();
    let disk = fs::File::create(bench.path("disk.img")).unwrap();
    disk.set_len(64 * MIB).unwrap();
    fs::write(
        bench.path("table"),
        "label: gpt\nstart=2048,size=81920,name=esp,type=uefi\nstart=83968,size=20480,name=data\n",
    )
    .unwrap();
    bench.tool("sh", &["-c", "sfdisk -q disk.img < table && mkfs.vfat -C -F 16 esp.fat 40960 && mmd -i esp.fat ::/EFI"]);
    let esp = fs::read(bench.path("esp.fat")).unwrap();
    // All of it, zeros too: what a block map leaves out keeps the card's old content.
    disk.write_all_at(&esp, MIB).unwrap();
    let noise: Vec<u8> = (0..3 * MIB)
        .map(|i| (i * i % 253).to_le_bytes()[0])
        .collect();
    disk.write_all_at(&noise, 42 * MIB).unwrap();
    disk.sync_all().unwrap();
    fs::remove_file(bench.path("esp.fat")).unwrap();
    bench.tool("bmaptool", &["-q", "create", "-o", "disk.bmap", "disk.img"]);
    fs::write(bench.path("provision.json"), PROVISION).unwrap();
    bench
}

fn old_card(bench: &Bench, mib: u64) {
    fs::write(
        bench.path("card"),
        vec![0xAA; usize::try_from(mib * MIB).unwrap()],
    )
    .unwrap();
}

/// Whether the card holds what [`old_card`] wrote.
fn is_untouched(bench: &Bench) -> bool {
    let card = fs::read(bench.path("card")).unwrap();
    card.iter().all(|b| *b == 0xAA)
}

#[test]
fn a_card_gets_used_blocks_a_moved_table_and_its_enrolment_file() {
    let bench = bench();
    old_card(&bench, 80);
    let done = bench
        .fleet(&[
            "flash",
            "disk.img",
            "card",
            "--provision",
            "provision.json",
            "--yes",
            "--json",
        ])
        .ok()
        .json();
    assert_eq!(done["verified"], true);
    assert_eq!(done["provisioned"], true);
    assert!(done["writtenBytes"].as_u64().unwrap() < 48 * MIB, "{done}");
    bench.tool("sfdisk", &["--verify", "card"]);
    let table = String::from_utf8(bench.tool("sfdisk", &["--dump", "card"])).unwrap();
    assert!(
        table.contains(&format!("last-lba: {}", 80 * MIB / 512 - 34)),
        "{table}"
    );
    let file = bench.tool("mtype", &["-i", "card@@1M", "::/fleet/provision.json"]);
    assert_eq!(String::from_utf8(file).unwrap(), PROVISION);
    bench.tool(
        "sh",
        &[
            "-c",
            "dd if=card of=esp.fat bs=1M skip=1 count=40 status=none && fsck.vfat -n esp.fat",
        ],
    );
    let mut data = vec![0; 3 << 20];
    let card = fs::File::open(bench.path("card")).unwrap();
    card.read_exact_at(&mut data, 42 * MIB).unwrap();
    let mut expected = vec![0; 3 << 20];
    fs::File::open(bench.path("disk.img"))
        .unwrap()
        .read_exact_at(&mut expected, 42 * MIB)
        .unwrap();
    assert!(data == expected);
}

#[test]
fn flashing_again_replaces_the_enrolment_file() {
    let bench = bench();
    let flash = [
        "flash",
        "disk.img",
        "card",
        "--provision",
        "provision.json",
        "--yes",
    ];
    bench.fleet(&flash).ok();
    fs::write(
        bench.path("provision.json"),
        PROVISION.replace("once", "twice"),
    )
    .unwrap();
    bench.fleet(&flash).ok();
    let file = bench.tool("mtype", &["-i", "card@@1M", "::/fleet/provision.json"]);
    assert!(String::from_utf8(file).unwrap().contains("twice"));
}

#[test]
fn a_compressed_image_gives_the_same_new_file() {
    let bench = bench();
    let plain = fs::read(bench.path("disk.img")).unwrap();
    fs::write(
        bench.path("disk.img.zst"),
        zstd::encode_all(plain.as_slice(), 1).unwrap(),
    )
    .unwrap();
    bench.fleet(&["flash", "disk.img.zst", "with-map"]).ok();
    bench
        .fleet(&["flash", "disk.img.zst", "without-map", "--no-bmap"])
        .ok();
    assert!(fs::read(bench.path("with-map")).unwrap() == plain);
    assert!(fs::read(bench.path("without-map")).unwrap() == plain);
}

#[test]
fn nobody_to_ask_means_nothing_is_written() {
    let bench = bench();
    old_card(&bench, 64);
    bench
        .fleet(&["flash", "disk.img", "card"])
        .fails(2, "nothing was written");
    assert!(is_untouched(&bench));
}

#[test]
fn bad_input_of_every_kind_leaves_the_card_as_it_was() {
    let bench = bench();
    old_card(&bench, 64);
    let disk = fs::read(bench.path("disk.img")).unwrap();
    let map = fs::read_to_string(bench.path("disk.bmap")).unwrap();
    let check = |name: &str, args: &[&str], code: i32, says: &str| {
        let ran = bench.fleet(&[&["flash"], args, &["--yes"]].concat());
        ran.fails(code, says);
        assert!(is_untouched(&bench), "{name}");
    };

    fs::write(bench.path("short.img"), &disk[..40 << 20]).unwrap();
    check(
        "truncated",
        &["short.img", "card", "--bmap", "disk.bmap"],
        1,
        "ends too early",
    );
    check(
        "truncated, no map",
        &["short.img", "card"],
        1,
        "beyond the image's",
    );
    let packed = zstd::encode_all(disk.as_slice(), 1).unwrap();
    fs::write(bench.path("packed.img.zst"), &packed[..packed.len() / 2]).unwrap();
    check(
        "truncated, packed",
        &["packed.img.zst", "card", "--no-bmap"],
        1,
        "cannot read",
    );
    let mut damaged = disk.clone();
    damaged[43 << 20] ^= 1;
    fs::write(bench.path("damaged.img"), &damaged).unwrap();
    check(
        "damaged",
        &["damaged.img", "card", "--bmap", "disk.bmap"],
        1,
        "not what the block map says",
    );
    fs::write(bench.path("bad.bmap"), map.replacen("<Range", "<Rnage", 1)).unwrap();
    check(
        "corrupt map",
        &["disk.img", "card", "--bmap", "bad.bmap"],
        1,
        "block map",
    );
    fs::write(bench.path("empty.img"), "").unwrap();
    check("empty", &["empty.img", "card"], 1, "is empty");
    fs::write(bench.path("noise.img"), vec![3; 1 << 20]).unwrap();
    check(
        "no table",
        &["noise.img", "card", "--provision", "provision.json"],
        1,
        "no partition labelled `esp`",
    );
    check(
        "no enrolment file",
        &["disk.img", "card", "--provision", "disk.bmap"],
        1,
        "no enrolment file",
    );
    check("missing", &["none.img", "card"], 3, "none.img");
    check("itself", &["card", "card"], 2, "the same file");
}

#[test]
fn a_card_that_is_too_small_is_refused_as_it_was() {
    let bench = bench();
    old_card(&bench, 63);
    bench
        .fleet(&["flash", "disk.img", "card", "--yes"])
        .fails(4, "card is as it was");
    assert!(is_untouched(&bench));
}

#[test]
fn a_missing_device_is_not_made_into_a_file() {
    let bench = bench();
    bench
        .fleet(&["flash", "disk.img", "/dev/no-such-card", "--yes"])
        .fails(3, "/dev/no-such-card");
    bench
        .fleet(&["flash", "disk.img", "/dev/null", "--yes"])
        .fails(2, "neither a disk nor a file");
    bench
        .fleet(&["flash", "disk.img", ".", "--yes"])
        .fails(2, "neither a disk nor a file");
}

/// A loop device that stands for no file; `None` where a container has none.
fn idle_loop_device() -> Option<String> {
    let exists = |path: String| std::path::Path::new(&path).exists();
    let mut names = (0..8).map(|number| format!("loop{number}"));
    let idle = names.find(|name| {
        let is_attached = exists(format!("/sys/block/{name}/loop"));
        exists(format!("/sys/block/{name}")) && exists(format!("/dev/{name}")) && !is_attached
    });
    idle.map(|name| format!("/dev/{name}"))
}

/// The image is cut: nothing could be written, even if nothing refused it.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test starts programs")]
fn a_disk_is_refused_for_as_long_as_it_is_mounted() {
    let Some(device) = idle_loop_device() else {
        return;
    };
    let bench = bench();
    let disk = fs::read(bench.path("disk.img")).unwrap();
    fs::write(bench.path("short.img"), &disk[..40 << 20]).unwrap();
    fs::create_dir(bench.path("mounted")).unwrap();
    let flash = [
        "flash",
        "short.img",
        &device,
        "--bmap",
        "disk.bmap",
        "--yes",
    ];
    bench.fleet(&flash).fails(1, "ends too early");
    // As with btrfs the file system has a number of its own and names the disk; nobody's rights are needed to mount it.
    let mount = "mount -t tmpfs \"$0\" mounted && exec \"$@\"";
    let ran = std::process::Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", mount, &device])
        .arg(env!("CARGO_BIN_EXE_fleet"))
        .args(flash)
        .current_dir(bench.dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    let at = bench.path("mounted").canonicalize().unwrap();
    let refused = format!("it is mounted at {}", at.display());
    assert!(said.contains(&refused), "{said}");
    assert_eq!(ran.status.code(), Some(4), "{said}");
}
