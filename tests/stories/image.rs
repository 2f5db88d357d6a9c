//! The reference image itself.

use fleet_tests::vm::{Seat, seats};
use xtask::image::{Access, ImageBuilder, ReleaseInputs, Variant, verify_reproducible};
use xtask::keys::BundleKeys;
use xtask::progress::Progress;
use xtask::workspace::Workspace;

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn two_builds_of_a_release_from_nothing_are_the_same() {
    let workspace = Workspace::locate().unwrap();
    let stories = workspace.fleet_dir().join("stories");
    // As much work as a machine.
    let _seat = Seat::take(&stories.join("seats"), seats()).unwrap();
    let builder = ImageBuilder::new(&workspace, Progress::Quiet).unwrap();
    let keys = BundleKeys::throw_away(&workspace, builder.tools()).unwrap();
    let inputs = ReleaseInputs {
        version: "1.0.0".to_owned(),
        channel: "stable".to_owned(),
        built_at: builder.built_at().unwrap(),
        keyring: keys.ca,
        keyset: None,
        programs: builder.build_programs().unwrap(),
        variant: Variant::Good,
        access: Access::Sealed,
        extra: Vec::new(),
    };
    verify_reproducible(&builder, &inputs).unwrap();
}
