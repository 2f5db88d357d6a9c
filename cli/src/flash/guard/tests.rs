//! A machine of its own for each test, in a temporary folder.

use super::*;
use std::os::unix::fs::symlink;

/// A machine: sda (two partitions), sdb, dm-0 on sda2, md0 on sdc1.
struct Machine {
    root: tempfile::TempDir,
    host: Host,
}

const SDA: DeviceNumber = DeviceNumber { major: 8, minor: 0 };
const SDA1: DeviceNumber = DeviceNumber { major: 8, minor: 1 };
const SDB: DeviceNumber = DeviceNumber {
    major: 8,
    minor: 16,
};
const SDC: DeviceNumber = DeviceNumber {
    major: 8,
    minor: 32,
};

fn machine(mountinfo: &str) -> Machine {
    let root = tempfile::tempdir().unwrap();
    let host = Host {
        proc: root.path().join("proc"),
        sys: root.path().join("sys"),
    };
    fs::create_dir_all(host.proc.join("self")).unwrap();
    fs::write(host.proc.join("self/mountinfo"), mountinfo).unwrap();
    fs::create_dir_all(host.sys.join("dev/block")).unwrap();
    let device = |path: &str, number: &str, partition: bool| {
        let folder = host.sys.join("devices").join(path);
        fs::create_dir_all(folder.join("slaves")).unwrap();
        fs::create_dir_all(folder.join("holders")).unwrap();
        fs::write(folder.join("dev"), number).unwrap();
        if partition {
            fs::write(folder.join("partition"), "1").unwrap();
        }
        symlink(&folder, host.sys.join("dev/block").join(number)).unwrap();
        folder
    };
    device("sda", "8:0", false);
    device("sda/sda1", "8:1", true);
    let under_dm = device("sda/sda2", "8:2", true);
    device("sdb", "8:16", false);
    device("sdb/sdb1", "8:17", true);
    device("sdc", "8:32", false);
    let in_raid = device("sdc/sdc1", "8:33", true);
    let dm = device("virtual/dm-0", "254:0", false);
    symlink(&under_dm, dm.join("slaves/sda2")).unwrap();
    let md = device("virtual/md0", "9:0", false);
    symlink(&in_raid, md.join("slaves/sdc1")).unwrap();
    symlink(&md, in_raid.join("holders/md0")).unwrap();
    Machine { root, host }
}

const ROOT_ON_DM: &str = "21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/mapper/root rw\n\
    22 21 0:20 / /proc rw - proc proc rw\n\
    23 21 8:17 / /media/my\\040card rw - vfat /dev/sdb1 rw\n";

#[test]
fn the_system_disk_is_found_through_device_mapper() {
    let machine = machine(ROOT_ON_DM);
    assert_eq!(machine.host.check_device(SDA), Err(Refusal::SystemDisk));
}

#[test]
fn a_mounted_card_is_refused_with_its_mount_point() {
    let machine = machine(ROOT_ON_DM);
    let expected = Refusal::Mounted("/media/my card".to_owned());
    assert_eq!(machine.host.check_device(SDB), Err(expected));
}

#[test]
fn a_disk_of_an_unmounted_raid_is_held() {
    let machine = machine(ROOT_ON_DM);
    assert_eq!(
        machine.host.check_device(SDC),
        Err(Refusal::Held("md0".to_owned()))
    );
}

#[test]
fn a_partition_is_refused_by_the_name_of_its_disk() {
    let machine = machine("");
    let expected = Refusal::Partition("/dev/sda".to_owned());
    assert_eq!(machine.host.check_device(SDA1), Err(expected));
}

#[test]
fn a_free_disk_may_be_written_unless_it_is_locked_or_has_large_sectors() {
    let machine = machine("21 1 254:0 / / rw - ext4 /dev/mapper/root rw\n");
    assert_eq!(machine.host.check_device(SDB), Ok(()));
    let folder = machine.host.sys.join("devices/sdb");
    fs::write(folder.join("ro"), "1\n").unwrap();
    assert_eq!(machine.host.check_device(SDB), Err(Refusal::ReadOnly));
    fs::write(folder.join("ro"), "0\n").unwrap();
    fs::create_dir(folder.join("queue")).unwrap();
    fs::write(folder.join("queue/logical_block_size"), "4096\n").unwrap();
    assert_eq!(
        machine.host.check_device(SDB),
        Err(Refusal::SectorSize(4096))
    );
}

#[test]
fn without_knowledge_nothing_is_allowed() {
    let machine = machine("");
    fs::remove_file(machine.host.proc.join("self/mountinfo")).unwrap();
    assert!(matches!(
        machine.host.check_device(SDB),
        Err(Refusal::Unknown(_))
    ));
}

#[test]
fn a_file_behind_a_loop_device_or_swap_is_refused() {
    let machine = machine("");
    let file = machine.root.path().join("disk.img");
    fs::write(&file, "x").unwrap();
    assert_eq!(machine.host.check_file(&file), Ok(()));
    let loop0 = machine.host.sys.join("block/loop0/loop");
    fs::create_dir_all(&loop0).unwrap();
    fs::write(loop0.join("backing_file"), format!("{}\n", file.display())).unwrap();
    assert_eq!(
        machine.host.check_file(&file),
        Err(Refusal::Held("loop0".to_owned()))
    );
    let other = machine.root.path().join("swap");
    fs::write(&other, "x").unwrap();
    let swaps = format!(
        "Filename Type Size Used Priority\n{} file 1 0 -2\n",
        other.display()
    );
    fs::write(machine.host.proc.join("swaps"), swaps).unwrap();
    assert_eq!(machine.host.check_file(&other), Err(Refusal::Swap));
}

#[test]
fn nonsense_in_mountinfo_is_left_out() {
    assert_eq!(
        parse_mountinfo("\n - \nx y\n1 2 3:4 / - a\n1 2 3:4 / /m o - t s o\n").len(),
        1
    );
}
