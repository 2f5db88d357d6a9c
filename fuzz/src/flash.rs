//! What is read when a card is written: images, their maps and tables, the host's mounts.

/// The map of used blocks beside an image.
pub fn block_map(data: &[u8]) {
    let _ = fleet_cli::flash::bmap::parse(data);
}

/// A partition table as it is, and with its checksums put right: nobody guesses those.
pub fn gpt_header(data: &[u8]) {
    use fleet_cli::flash::gpt::{FRONT_BYTES, Table};
    let _ = Table::parse(data, data.len() as u64);
    let mut front = data.to_vec();
    front.resize(FRONT_BYTES, 0);
    front[512..520].copy_from_slice(b"EFI PART");
    front[524..528].copy_from_slice(&92_u32.to_le_bytes());
    let list = crc32fast::hash(&front[1024..]);
    front[600..604].copy_from_slice(&list.to_le_bytes());
    front[528..532].fill(0);
    let header = crc32fast::hash(&front[512..604]);
    front[528..532].copy_from_slice(&header.to_le_bytes());
    let _ = Table::parse(&front, 1 << 30);
}

/// An image that is read to its end before a card is touched, compressed or not. What is planned covers
/// the image without overlap.
pub fn flash_image(data: &[u8]) {
    use fleet_cli::flash::image::Image;
    /// What unpacks to more is left at that.
    const ENOUGH: u64 = 8 << 20;
    let path = std::env::temp_dir().join(format!("fleet-fuzz-image-{}", std::process::id()));
    std::fs::write(&path, data).expect("a temporary file can be written");
    let image = Image::open(&path).expect("it was just written");
    let mut done = 0;
    let mut tick = |bytes| {
        done += bytes;
        done < ENOUGH
    };
    if let Ok(plan) = image.plan(None, &mut tick) {
        let runs = plan.runs.iter().map(|run| (run.offset, run.length));
        let mut parts: Vec<_> = runs.chain(plan.holes.iter().copied()).collect();
        parts.sort_unstable();
        let mut end = 0;
        for (offset, length) in parts {
            assert_eq!(offset, end, "a gap or an overlap");
            end = offset + length;
        }
        assert_eq!(end, plan.image_size);
    }
    let _ = std::fs::remove_file(&path);
}

/// The boot partition of an image, into which the enrolment file is put: nothing beyond the partition is
/// touched, whatever its file system says.
pub fn boot_partition(data: &[u8]) {
    use fleet_cli::flash::esp;
    use fleet_cli::flash::medium::Medium;
    use std::io;
    struct Card(Vec<u8>);
    impl Card {
        fn run(&mut self, offset: u64, length: usize) -> io::Result<&mut [u8]> {
            let from = usize::try_from(offset).map_err(io::Error::other)?;
            let to = from.checked_add(length);
            let run = to.and_then(|to| self.0.get_mut(from..to));
            run.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        }
    }
    impl Medium for Card {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }
        fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            self.run(offset, bytes.len())?.copy_from_slice(bytes);
            Ok(())
        }
        fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
            bytes.copy_from_slice(self.run(offset, bytes.len())?);
            Ok(())
        }
        fn zero(&mut self, offset: u64, length: u64) -> io::Result<()> {
            let length = usize::try_from(length).map_err(io::Error::other)?;
            self.run(offset, length)?.fill(0);
            Ok(())
        }
        fn settle(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    const AROUND: usize = 512;
    let mut card = Card(vec![0xa5; AROUND]);
    card.0.extend_from_slice(data);
    card.0.resize(card.0.len() + AROUND, 0xa5);
    let partition = AROUND as u64..(AROUND + data.len()) as u64;
    let content = b"{\"serverUrl\":\"https://fleet.example\"}";
    if esp::put(&mut card, partition.clone(), content).is_ok() {
        let _ = esp::get(&mut card, partition);
    }
    let (before, after) = (&card.0[..AROUND], &card.0[AROUND + data.len()..]);
    assert!(before.iter().chain(after).all(|b| *b == 0xa5));
}

/// The kernel's table of mounts: what was read can be written, and reads the same.
pub fn mountinfo(data: &[u8]) {
    use fleet_cli::flash::guard::{Mount, parse_mountinfo};
    /// As the kernel escapes, and more than it does.
    fn escape(text: &str) -> String {
        let octal = |b: u8| {
            if b.is_ascii_alphanumeric() || b >= 0x80 {
                vec![b]
            } else {
                format!("\\{b:03o}").into_bytes()
            }
        };
        String::from_utf8(text.bytes().flat_map(octal).collect()).expect("ASCII becomes ASCII")
    }
    fn line(mount: &Mount) -> String {
        let (point, source) = (escape(&mount.point), escape(&mount.source));
        format!("1 2 {} / {point} rw - ext4 {source} rw\n", mount.device)
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let mounts = parse_mountinfo(text);
        assert!(mounts.len() <= text.lines().count());
        let written: String = mounts.iter().map(line).collect();
        assert_eq!(parse_mountinfo(&written), mounts);
    }
}
