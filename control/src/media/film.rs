//! MP4: its tables are read, not its pictures. That every sample lies within the file shows that it is whole.

use std::io::{BufReader, Read, Seek};

use fleet_protocol::content::{AssetKind, FailureReason};
use re_mp4::{Mp4, StsdBoxContent, Track};

use super::{Limits, Seen, Unfit, check_edges};

/// What a track carries, by its handler (ISO/IEC 14496-12 §8.4.3): that is known for any codec.
const VIDEO: &[u8; 4] = b"vide";
const SOUND: &[u8; 4] = b"soun";

pub(super) fn look(source: impl Read + Seek, size: u64, limits: &Limits) -> Result<Seen, Unfit> {
    let film = Mp4::read(BufReader::new(source), size).map_err(Unfit::corrupt)?;
    let tracks = || film.tracks().values();
    let video = tracks().find(|track| handler(track, &film) == *VIDEO);
    let video = video.ok_or_else(|| {
        let detail = "The file holds no video.";
        Unfit::new(FailureReason::InvalidFormat, detail)
    })?;
    check_codecs(&film)?;
    if tracks().any(|track| !is_whole(track, size)) {
        return Err(Unfit::corrupt("it ends in the middle of the film"));
    }
    let (width_px, height_px) = (u32::from(video.width), u32::from(video.height));
    check_edges("video", (width_px, height_px), limits.film_edges)?;
    let duration_ms = duration_ms(video);
    if duration_ms == 0 || width_px == 0 || height_px == 0 {
        return Err(Unfit::corrupt("its video has no pictures"));
    }
    check_length(duration_ms, size, limits)?;
    Ok(Seen {
        kind: AssetKind::Video,
        width_px,
        height_px,
        duration_ms: Some(duration_ms),
        thumbnail: None,
    })
}

fn handler(track: &Track, film: &Mp4) -> [u8; 4] {
    track.trak(film).mdia.hdlr.handler_type.value
}

fn check_codecs(film: &Mp4) -> Result<(), Unfit> {
    for track in film.tracks().values() {
        let content = &track.trak(film).mdia.minf.stbl.stsd.contents;
        let detail = match (&handler(track, film), content) {
            (VIDEO, StsdBoxContent::Avc1(_)) | (SOUND, StsdBoxContent::Mp4a(_)) => continue,
            (VIDEO, _) => "The video's codec is not H.264.",
            (SOUND, _) => "The sound's codec is not AAC.",
            // Subtitles, time codes and the like are not played.
            _ => continue,
        };
        let codec = track.codec_string(film);
        let codec = codec.map_or_else(String::new, |codec| format!(" It is {codec}."));
        return Err(Unfit::new(
            FailureReason::InvalidCodec,
            format!("{detail}{codec}"),
        ));
    }
    Ok(())
}

fn is_whole(track: &Track, size: u64) -> bool {
    track.samples.iter().all(|sample| {
        let end = sample.offset.checked_add(sample.size);
        end.is_some_and(|end| end <= size)
    })
}

fn duration_ms(track: &Track) -> u64 {
    let counted = || track.samples.iter().map(|sample| sample.duration).sum();
    let units: u64 = match track.duration {
        0 => counted(),
        told => told,
    };
    if track.samples.is_empty() {
        return 0;
    }
    let ms = u128::from(units) * 1000 / u128::from(track.timescale.max(1));
    u64::try_from(ms).unwrap_or(u64::MAX)
}

fn check_length(duration_ms: u64, size: u64, limits: &Limits) -> Result<(), Unfit> {
    if duration_ms > limits.film_ms {
        let detail = format!(
            "The video is {} seconds long, more than {}.",
            duration_ms.div_ceil(1000),
            limits.film_ms / 1000
        );
        return Err(Unfit::new(FailureReason::DurationExceeded, detail));
    }
    let bits_per_second = u128::from(size) * 8 * 1000 / u128::from(duration_ms);
    if bits_per_second > u128::from(limits.film_bits_per_second) {
        let detail = format!(
            "The video has {:.1} Mbit a second, more than {:.1}.",
            megabits(u64::try_from(bits_per_second).unwrap_or(u64::MAX)),
            megabits(limits.film_bits_per_second)
        );
        return Err(Unfit::new(FailureReason::BitrateExceeded, detail));
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn megabits(bits: u64) -> f64 {
    bits as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A film of one track, told in boxes (ISO/IEC 14496-12).
    #[derive(Clone, Copy)]
    struct Told {
        handler: &'static [u8; 4],
        codec: &'static [u8; 4],
        edges: (u16, u16),
        seconds: u32,
        bytes: u32,
    }

    const HD: Told = Told {
        handler: b"vide",
        codec: b"avc1",
        edges: (1920, 1080),
        seconds: 10,
        bytes: 1000,
    };

    fn boxed(name: [u8; 4], content: &[Vec<u8>]) -> Vec<u8> {
        let content = content.concat();
        let size = u32::try_from(content.len() + 8).unwrap();
        [size.to_be_bytes().as_slice(), name.as_slice(), &content].concat()
    }

    fn numbers(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
    }

    impl Told {
        fn sample_entry(self) -> Vec<u8> {
            let (width, height) = self.edges;
            let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
            let avcc = vec![1, 66, 0, 30, 0xff, 0xe0, 0];
            let head = vec![0, 0, 0, 0, 0, 0, 0, 1];
            match self.codec {
                b"mp4a" | b"Opus" => boxed(*self.codec, &[head, vec![0; 20]]),
                _ => {
                    let rest = [vec![0; 14], vec![0; 32], vec![0, 24, 0xff, 0xff]].concat();
                    let picture = [vec![0; 16], size, rest].concat();
                    boxed(*self.codec, &[head, picture, boxed(*b"avcC", &[avcc])])
                }
            }
        }

        fn track(self, id: u32, offset: u32) -> Vec<u8> {
            let (width, height) = self.edges;
            let edges = numbers(&[u32::from(width) << 16, u32::from(height) << 16]);
            let matrix = numbers(&[0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000]);
            let tkhd = [
                numbers(&[7, 0, 0, id, 0, self.seconds * 1000, 0, 0, 0, 0]),
                matrix,
                edges,
            ];
            let handler = [vec![0; 8], self.handler.to_vec(), vec![0; 13]];
            let tables = [
                boxed(*b"stsd", &[numbers(&[0, 1]), self.sample_entry()]),
                boxed(*b"stts", &[numbers(&[0, 1, 1, self.seconds * 1000])]),
                boxed(*b"stsc", &[numbers(&[0, 1, 1, 1, 1])]),
                boxed(*b"stsz", &[numbers(&[0, 0, 1, self.bytes])]),
                boxed(*b"stco", &[numbers(&[0, 1, offset])]),
            ];
            let dref = boxed(
                *b"dref",
                &[numbers(&[0, 1]), boxed(*b"url ", &[numbers(&[1])])],
            );
            let media = [
                boxed(
                    *b"mdhd",
                    &[numbers(&[0, 0, 0, 1000, self.seconds * 1000, 0x55c4_0000])],
                ),
                boxed(*b"hdlr", &handler),
                boxed(
                    *b"minf",
                    &[boxed(*b"dinf", &[dref]), boxed(*b"stbl", &tables)],
                ),
            ];
            boxed(*b"trak", &[boxed(*b"tkhd", &tkhd), boxed(*b"mdia", &media)])
        }
    }

    /// Tables first, as for streaming; the samples of all tracks are the same bytes.
    fn film(tracks: &[Told]) -> Vec<u8> {
        let head = boxed(*b"ftyp", &[b"isom\0\0\0\0isom".to_vec()]);
        let moov = |offset| {
            let mut boxes = vec![boxed(
                *b"mvhd",
                &[numbers(&[0, 0, 0, 1000, 1000]), vec![0; 80]],
            )];
            boxes.extend((1..).zip(tracks).map(|(id, track)| track.track(id, offset)));
            boxed(*b"moov", &boxes)
        };
        let offset = u32::try_from(head.len() + moov(0).len() + 8).unwrap();
        let longest = tracks.iter().map(|track| track.bytes).max().unwrap();
        let samples = vec![0; usize::try_from(longest).unwrap()];
        [head, moov(offset), boxed(*b"mdat", &[samples])].concat()
    }

    fn seen(bytes: &[u8]) -> Result<Seen, Unfit> {
        super::super::look(Cursor::new(bytes), &Limits::default())
    }

    #[test]
    fn a_film_has_its_size_and_length() {
        let seen = seen(&film(&[HD])).unwrap();
        assert_eq!((seen.width_px, seen.height_px), (1920, 1080));
        assert_eq!(seen.duration_ms, Some(10_000));
        assert_eq!(seen.kind, AssetKind::Video);
    }

    #[test]
    fn what_screens_cannot_play_says_why() {
        let check = |tracks: &[Told], reason: FailureReason, says: &str| {
            let unfit = seen(&film(tracks)).unwrap_err();
            assert_eq!(unfit.reason, reason, "{}", unfit.detail);
            assert!(unfit.detail.contains(says), "{}", unfit.detail);
        };
        let sound = Told {
            handler: b"soun",
            codec: b"Opus",
            ..HD
        };
        let vp9 = Told {
            codec: b"XYZ1",
            ..HD
        };
        let large = Told {
            edges: (3840, 2160),
            ..HD
        };
        let long = Told { seconds: 121, ..HD };
        let heavy = Told {
            seconds: 1,
            bytes: 2_000_000,
            ..HD
        };
        check(&[sound], FailureReason::InvalidFormat, "no video");
        check(&[HD, sound], FailureReason::InvalidCodec, "not AAC");
        check(&[vp9], FailureReason::InvalidCodec, "not H.264");
        check(&[large], FailureReason::ResolutionExceeded, "3840×2160");
        check(&[long], FailureReason::DurationExceeded, "121 seconds");
        check(&[heavy], FailureReason::BitrateExceeded, "16.0 Mbit");
    }

    #[test]
    fn a_film_that_breaks_off_is_damaged() {
        let whole = film(&[HD]);
        for length in [40, whole.len() / 4, whole.len() - 1] {
            let unfit = seen(&whole[..length]).unwrap_err();
            assert_eq!(
                unfit.reason,
                FailureReason::FileCorrupt,
                "{length}: {}",
                unfit.detail
            );
        }
    }
}
