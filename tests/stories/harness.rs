//! The harness itself, on firmware alone: no image is needed.

use std::sync::Arc;
use std::time::Duration;

use fleet_tests::vm::{Boot, Disks, Machine, Mark, Programs, Vm};
use xtask::progress::Progress;
use xtask::tools::ToolTree;
use xtask::workspace::Workspace;

#[test]
fn a_machine_can_be_photographed_saved_cut_and_resumed() {
    let workspace = Workspace::locate().unwrap();
    let tools: Arc<dyn Programs> = Arc::new(ToolTree::ensure(&workspace, Progress::Quiet).unwrap());
    let dir = workspace.fleet_dir().join("stories/harness");
    std::fs::create_dir_all(&dir).unwrap();
    let empty = dir.join("empty.img");
    std::fs::File::create(&empty)
        .unwrap()
        .set_len(64 << 20)
        .unwrap();
    let disks = Disks::overlay(&*tools, &empty, &dir).unwrap();
    let mut vm = Vm::new(tools, Machine::new(9), disks, &dir);

    vm.power_on(Boot::Cold).unwrap();
    vm.serial()
        .wait_for("BdsDxe", Mark::START, Duration::from_mins(1))
        .unwrap();
    let png = dir.join("screen.png");
    vm.screenshot(&png).unwrap();
    assert!(std::fs::read(&png).unwrap().starts_with(b"\x89PNG"));
    assert_ne!(vm.page_port().unwrap(), 0);
    vm.save("there").unwrap();
    vm.power_cut();
    assert!(!vm.is_on());

    vm.power_on(Boot::Resume("there")).unwrap();
    let mark = vm.serial().mark();
    vm.reset().unwrap();
    vm.serial()
        .wait_for("BdsDxe", mark, Duration::from_mins(1))
        .unwrap();
}
