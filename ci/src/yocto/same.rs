//! The product image and the reference image are one system: what they install and how they lay it out is compared.
//!
//! Stories boot the reference image only. What they prove holds for the product as far as both are made of the same
//! files, the same partitions, the same hash tree and the same boot loader.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Findings;
use super::layer::{self, Metadata};
use crate::image::layout;
use crate::workspace::Workspace;

/// Files that no recipe's tree holds, because they are made: each builder makes them in its own way.
const MADE: &[&str] = &[
    "usr/bin/fleet-agent",
    "usr/lib/clock-epoch",
    "usr/lib/fleet/release.json",
    "usr/lib/rauc/keyring.pem",
    "usr/share/fleet/keyset.json",
];

pub(super) fn check(workspace: &Workspace) -> Result<Findings> {
    let metadata = layer::metadata(&workspace.layer())?;
    let mut findings = Findings::default();
    installed(workspace, &metadata, &mut findings)?;
    let image = in_file(&metadata, "fleet_image.bbclass");
    let grub = in_file(&metadata, "fleet-grub.bb");
    compare(
        image,
        &[
            ("FLEET_SALT", layout::SALT),
            ("FLEET_ROOT_UUID", layout::ROOT_UUID),
            ("FLEET_TYPE_ESP", layout::TYPE_ESP),
            ("FLEET_TYPE_BOOT", layout::TYPE_BOOT),
            ("FLEET_TYPE_ROOT", layout::TYPE_ROOT),
            ("FLEET_TYPE_DATA", layout::TYPE_DATA),
        ],
        &mut findings,
    );
    let modules = layout::GRUB_MODULES.join(" ");
    compare(grub, &[("FLEET_GRUB_MODULES", &modules)], &mut findings);
    Ok(findings)
}

/// The paths that the overlay of the reference image has, and those of the recipes that are in the product.
fn installed(workspace: &Workspace, metadata: &[Metadata], findings: &mut Findings) -> Result<()> {
    let reference = layout::overlay_paths(&workspace.layer())?;
    let mut product = BTreeSet::new();
    let wanted = in_product(metadata);
    for recipe in metadata.iter().filter(|file| file.inherits("fleet_rootfs")) {
        let Some(folder) = recipe.path.parent() else {
            continue;
        };
        if !wanted.contains(&recipe.name()) {
            findings.add(&recipe.path, "is not in packagegroup-fleet");
            continue;
        }
        product.extend(tree(&folder.join("files/rootfs"))?);
    }
    let place = workspace.layer();
    for path in reference.difference(&product) {
        findings.add(
            &place,
            format!("only the reference image has /{}", path.display()),
        );
    }
    for path in product.difference(&reference) {
        findings.add(
            &place,
            format!("only the product image has /{}", path.display()),
        );
    }
    for path in MADE {
        let name = Path::new(path)
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        if !metadata.iter().any(|file| file.mentions(&name)) {
            findings.add(&place, format!("no recipe makes /{path}"));
        }
    }
    Ok(())
}

fn in_product(metadata: &[Metadata]) -> BTreeSet<String> {
    let groups = metadata
        .iter()
        .filter(|file| file.name() == "packagegroup-fleet");
    groups
        .flat_map(|group| group.words_of("RDEPENDS"))
        .map(str::to_owned)
        .collect()
}

/// Paths below `root`; `.keep` stands for its folder.
fn tree(root: &Path) -> Result<BTreeSet<PathBuf>> {
    if !root.is_dir() {
        return Ok(BTreeSet::new());
    }
    let paths = layer::files(root)?.into_iter();
    Ok(paths
        .filter_map(|path| {
            let below = path.strip_prefix(root).ok()?;
            let kept = below.file_name()? == ".keep";
            Some(if kept { below.parent()? } else { below }.to_owned())
        })
        .collect())
}

fn in_file<'a>(metadata: &'a [Metadata], name: &str) -> Option<&'a Metadata> {
    metadata.iter().find(|file| file.path.ends_with(name))
}

/// Each variable has the value that the reference image is built with.
fn compare(file: Option<&Metadata>, values: &[(&str, &str)], findings: &mut Findings) {
    let Some(file) = file else {
        findings.add(Path::new("meta-fleet"), "a file that is compared is gone");
        return;
    };
    for (variable, wanted) in values {
        let is = file.words_of(variable).join(" ");
        if is != *wanted {
            findings.add(
                &file.path,
                format!("{variable} is {is:?}, in the reference image {wanted:?}"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_value_than_the_reference_images_is_named() {
        let file = Metadata::parse(
            Path::new("x.bbclass"),
            "SALT = \"00\"\nWORDS = \" \\\n a \\\n b \\\n\"",
        );
        let mut findings = Findings::default();
        compare(
            Some(&file),
            &[("SALT", "00"), ("WORDS", "a b")],
            &mut findings,
        );
        assert_eq!(findings, Findings::default());
        compare(Some(&file), &[("SALT", "01")], &mut findings);
        assert_eq!(
            findings.lines(),
            ["x.bbclass: SALT is \"00\", in the reference image \"01\""]
        );
    }

    #[test]
    fn an_empty_folder_is_kept_by_its_keeper() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("data")).unwrap();
        std::fs::write(dir.path().join("data/.keep"), "").unwrap();
        assert_eq!(
            tree(dir.path()).unwrap(),
            BTreeSet::from([PathBuf::from("data")])
        );
    }
}
