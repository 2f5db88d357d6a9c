//! `fleet audit export`: the record as it comes, checked on the way.

use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use fleet_protocol::access::AuditCheck;
use serde::Serialize;

use super::AUDIT;
use super::chain::Chain;
use crate::client::Client;
use crate::error::{CommandError, Kind, Result};
use crate::output::Output;
use crate::store;

/// `--json` shape.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Exported {
    file: PathBuf,
    #[serde(flatten)]
    check: AuditCheck,
}

pub(super) fn run(file: &Path, client: &Client, output: Output) -> Result<()> {
    let (_, reader) = client.download(&format!("{AUDIT}/export"))?;
    if file == Path::new("-") {
        let mut reader = BufReader::new(reader);
        return std::io::copy(&mut reader, &mut std::io::stdout())
            .map(|_| ())
            .map_err(broke_off);
    }
    let check = write(file, reader)?;
    if let Some(sequence) = check.broken_at {
        let note = format!("{} is written all the same", file.display());
        return Err(super::broken(sequence).hint(note));
    }
    let exported = Exported {
        file: file.to_owned(),
        check,
    };
    output.result(&exported, |e| {
        format!("{}: {}", e.file.display(), super::whole(&e.check))
    });
    Ok(())
}

/// Beside the file first: it is there whole or not at all.
fn write(file: &Path, reader: impl Read) -> Result<AuditCheck> {
    let fail = |e| CommandError::io(format!("cannot write {}", file.display()), e);
    let folder = store::folder_of(file);
    let mut written = tempfile::NamedTempFile::new_in(folder).map_err(fail)?;
    let copied = Copied {
        from: reader,
        to: BufWriter::new(written.as_file_mut()),
    };
    let mut chain = Chain::new();
    let mut lines = BufReader::new(copied);
    chain.follow_all(&mut lines, |_| {}).map_err(broke_off)?;
    lines.into_inner().to.flush().map_err(fail)?;
    written.as_file().sync_all().map_err(fail)?;
    written.persist(file).map_err(|e| fail(e.error))?;
    store::sync_folder(folder).map_err(fail)?;
    Ok(chain.check())
}

fn broke_off(error: std::io::Error) -> CommandError {
    CommandError::new(Kind::Unreachable, "the export broke off")
        .because(error)
        .hint("run it again: it begins anew")
}

/// What is read goes to a second place too.
struct Copied<R, W> {
    from: R,
    to: W,
}

impl<R: Read, W: Write> Read for Copied<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.to.write_all(&buffer[..count])?;
        Ok(count)
    }
}
