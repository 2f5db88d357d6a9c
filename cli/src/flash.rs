//! `fleet flash`: an image onto a card, a disk, or a file that stands for one.
//!
//! `guard` says what may be overwritten, `image` and `bmap` what is to be written, `gpt` where the
//! partition table goes, `esp` puts the enrolment file in, `write` keeps the order that makes an
//! interruption harmless. This file asks, shows and reports.

pub mod bmap;
pub mod esp;
pub mod gpt;
pub mod guard;
pub mod image;
pub mod medium;
pub mod reader;
pub mod write;

mod explain;

use std::ffi::OsString;
use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use fleet_protocol::enrolment::ProvisionFile;
use serde::Serialize;

use crate::error::{CommandError, Kind, Result};
use crate::output::{Output, human_bytes};
use crate::store;
use explain::{Left, explain, image_error};
use guard::{DeviceNumber, Host};
use image::{Image, Plan};
use medium::{FileMedium, Medium as _};
use write::{CardState, Cause, Job, Step, WriteError};

#[derive(Debug, Args)]
pub struct FlashArgs {
    /// The image; .zst is unpacked on the way
    pub image: PathBuf,
    /// The card or disk, such as /dev/sdX, or a file
    pub device: PathBuf,
    /// Enrolment file of `fleet device enrol`, put into the boot partition
    #[arg(long, value_name = "FILE")]
    pub provision: Option<PathBuf>,
    /// The image's block map; default: found beside the image
    #[arg(long, value_name = "FILE")]
    pub bmap: Option<PathBuf>,
    /// Use no block map, even if there is one
    #[arg(long, conflicts_with = "bmap")]
    pub no_bmap: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// `--json` shape of `flash`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Flashed {
    image: PathBuf,
    device: PathBuf,
    bmap: Option<PathBuf>,
    image_size_bytes: u64,
    device_size_bytes: u64,
    written_bytes: u64,
    verified: bool,
    provisioned: bool,
}

/// What is written to, and whether this run made it.
struct Target {
    path: PathBuf,
    description: String,
    /// A device, or a file with something in it.
    has_content: bool,
    exists: bool,
}

/// # Errors
/// The message says in which state the card is.
pub fn run(args: &FlashArgs, output: Output) -> Result<()> {
    let provision = args.provision.as_deref().map(read_provision).transpose()?;
    let image = Image::open(&args.image).map_err(|e| image_error(e, args))?;
    let map_file = find_map(args)?;
    let map = map_file.as_deref().map(read_map).transpose()?;
    let target = target(args, &Host::default())?;

    let expected = map.as_ref().map_or_else(
        || image.file_size(),
        |m| m.extents.iter().map(|e| e.length).sum(),
    );
    let bar = output.byte_bar(expected, "Checking");
    let planned = image.plan(map.as_ref(), &mut |bytes| {
        bar.inc(bytes);
        true
    });
    bar.finish_and_clear();
    let plan = planned.map_err(|e| image_error(e, args))?;
    let table = read_table(&plan, args)?;

    if target.has_content && !args.yes {
        confirm(args, &target, &plan)?;
    }
    // Until here Ctrl-C simply ends the program: nothing was written.
    let stop = listen_for_interruption()?;
    if !target.exists {
        fs::File::create_new(&target.path)
            .and_then(|file| file.set_len(plan.image_size))
            .map_err(|e| CommandError::io(format!("cannot make {}", target.path.display()), e))?;
    }
    let job = Job {
        image: &image,
        plan: &plan,
        table: table.as_ref(),
        provision: provision.as_deref(),
    };
    let device_size_bytes = match perform(job, &target.path, &stop, output) {
        Ok(size) => size,
        Err(error) if !target.exists => {
            let _ = fs::remove_file(&target.path);
            return Err(explain(error, &target.path, Left::Removed));
        }
        Err(error) => return Err(explain(error, &target.path, Left::AsIs)),
    };
    let flashed = Flashed {
        image: args.image.clone(),
        device: target.path,
        bmap: map_file,
        image_size_bytes: plan.image_size,
        device_size_bytes,
        written_bytes: plan.bytes_to_write(),
        verified: true,
        provisioned: provision.is_some(),
    };
    output.result(&flashed, |f| {
        format!(
            "{} holds {} ({} written, read back and the same){}\n",
            f.device.display(),
            f.image.display(),
            human_bytes(f.written_bytes),
            if f.provisioned {
                ", with its enrolment file"
            } else {
                ""
            }
        )
    });
    Ok(())
}

/// The first Ctrl-C stops in order and says in which state the card is; the second stops at once.
fn listen_for_interruption() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let code = i32::from(Kind::Interrupted.exit_code());
        signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(|e| CommandError::io("cannot listen for Ctrl-C", e))?;
    }
    Ok(stop)
}

fn perform(
    job: Job<'_>,
    path: &Path,
    stop: &AtomicBool,
    output: Output,
) -> Result<u64, WriteError> {
    let mut medium = FileMedium::open(path).map_err(|source| WriteError {
        state: CardState::Untouched,
        cause: Cause::Write { offset: 0, source },
    })?;
    let bytes = job.plan.bytes_to_write();
    let bar = output.byte_bar(bytes, "Writing");
    let mut current = Step::Writing;
    let result = write::write(job, &mut medium, &mut |now, count| {
        if now != current {
            current = now;
            bar.reset();
            bar.set_length(bytes);
            bar.set_message(match now {
                Step::Writing => "Writing",
                Step::Verifying => "Reading back",
                Step::Finishing => "Finishing",
            });
        }
        bar.inc(count);
        !stop.load(Ordering::Relaxed)
    });
    bar.finish_and_clear();
    result.map(|()| medium.size())
}

fn read_provision(path: &Path) -> Result<Vec<u8>> {
    let bytes = store::read_small(path, 64 << 10)?;
    serde_json::from_slice::<ProvisionFile>(&bytes).map_err(|e| {
        CommandError::failed(format!(
            "{} is no enrolment file; nothing was written",
            path.display()
        ))
        .because(e)
        .hint("make one with `fleet device enrol`")
    })?;
    Ok(bytes)
}

fn read_map(path: &Path) -> Result<bmap::BlockMap> {
    let bytes = store::read_small(path, bmap::MAX_BYTES as u64)?;
    bmap::parse(&bytes).map_err(|e| {
        CommandError::failed(format!(
            "{} is no good block map; nothing was written",
            path.display()
        ))
        .because(e)
        .hint("fetch it again, or write the whole image with --no-bmap")
    })
}

/// `IMAGE.bmap`, or the image's name without `.zst` or its last suffix.
fn find_map(args: &FlashArgs) -> Result<Option<PathBuf>> {
    if args.no_bmap {
        return Ok(None);
    }
    if let Some(map) = &args.bmap {
        return if map.is_file() {
            Ok(Some(map.clone()))
        } else {
            Err(
                CommandError::not_found(format!("there is no block map {}", map.display()))
                    .hint("check --bmap, or leave it out"),
            )
        };
    }
    let with = |path: &Path| {
        let mut name = OsString::from(path);
        name.push(".bmap");
        PathBuf::from(name)
    };
    let mut candidates = vec![with(&args.image)];
    let unpacked = if args.image.extension().is_some_and(|e| e == "zst") {
        args.image.with_extension("")
    } else {
        args.image.clone()
    };
    candidates.push(with(&unpacked));
    candidates.push(unpacked.with_extension("bmap"));
    Ok(candidates.into_iter().find(|c| c.is_file()))
}

fn target(args: &FlashArgs, host: &Host) -> Result<Target> {
    let path = args.device.clone();
    let name = path.display().to_string();
    let meta = match fs::metadata(&path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            if path.starts_with("/dev") || !store::folder_of(&path).is_dir() {
                return Err(CommandError::not_found(format!("there is no {name}")).hint(
                    "is the card in? `lsblk -o NAME,SIZE,MODEL,MOUNTPOINTS` shows what is there",
                ));
            }
            return Ok(Target {
                description: format!("{name}, a new file"),
                path,
                has_content: false,
                exists: false,
            });
        }
        Err(e) => return Err(CommandError::io(format!("cannot look at {name}"), e)),
    };
    let refuse = |refusal: guard::Refusal| {
        let hint = refusal.hint();
        CommandError::refused(format!("{name} is not written to; nothing was changed"))
            .because(refusal)
            .hint(hint)
    };
    if meta.file_type().is_block_device() {
        let number = DeviceNumber::of(meta.rdev());
        host.check_device(number).map_err(refuse)?;
        let model = host.model(number).unwrap_or_else(|| "disk".to_owned());
        return Ok(Target {
            description: format!("{name}, {model}"),
            path,
            has_content: true,
            exists: true,
        });
    }
    if !meta.is_file() {
        return Err(
            CommandError::usage(format!("{name} is neither a disk nor a file"))
                .hint("name the card's device, such as /dev/sdX"),
        );
    }
    let image = fs::metadata(&args.image)
        .map_err(|e| CommandError::io(format!("cannot read {}", args.image.display()), e))?;
    if (image.dev(), image.ino()) == (meta.dev(), meta.ino()) {
        return Err(CommandError::usage("image and target are the same file")
            .hint("name the card's device, such as /dev/sdX, or another file"));
    }
    host.check_file(&path).map_err(refuse)?;
    Ok(Target {
        description: format!("{name}, a file"),
        path,
        has_content: meta.blocks() > 0,
        exists: true,
    })
}

fn read_table(plan: &Plan, args: &FlashArgs) -> Result<Option<gpt::Table>> {
    match gpt::Table::parse(&plan.front, plan.image_size) {
        Ok(table) => {
            if args.provision.is_some() && table.partition(esp::PARTITION).is_none() {
                return Err(no_boot_partition());
            }
            Ok(Some(table))
        }
        Err(gpt::GptError::None) if args.provision.is_none() => Ok(None),
        Err(gpt::GptError::None) => Err(no_boot_partition()),
        Err(e) => Err(CommandError::failed(format!(
            "{} is damaged or truncated; nothing was written",
            args.image.display()
        ))
        .because(e)
        .hint("fetch the image again")),
    }
}

fn no_boot_partition() -> CommandError {
    CommandError::failed(format!(
        "the image has no partition labelled `{}` for the enrolment file; nothing was written",
        esp::PARTITION
    ))
    .hint("is it a Fleet image? Or leave --provision out")
}

fn confirm(args: &FlashArgs, target: &Target, plan: &Plan) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(CommandError::usage(format!(
            "everything on {} would be lost, and there is nobody to ask; nothing was written",
            target.description
        ))
        .hint("check the device, then add --yes"));
    }
    let mut err = std::io::stderr();
    let _ = write!(
        err,
        "Write {} ({})\n   to {}\nEverything on it will be lost. Type yes to go on: ",
        args.image.display(),
        human_bytes(plan.image_size),
        target.description
    );
    let _ = err.flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    if read.is_ok() && answer.trim() == "yes" {
        Ok(())
    } else {
        Err(
            CommandError::new(Kind::Interrupted, "not confirmed; nothing was written")
                .hint("type the whole word `yes`, or give --yes"),
        )
    }
}
