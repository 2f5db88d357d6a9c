//! Writes as fast as they are answered, and what of them was acknowledged.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, channel};
use std::thread::Scope;

use fleet_protocol::Sha256;
use serde_json::{Value, json};

use crate::world::program::Program;

const WRITERS: usize = 3;

/// Something that the control plane said it had kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kept {
    Playlist(String),
    Bundle(Sha256),
}

/// Begins to write; each acknowledgment comes out of what this answers, which ends with the server.
pub(crate) fn begin<'scope>(
    scope: &'scope Scope<'scope, '_>,
    program: &'scope Program,
    round: usize,
) -> Receiver<Kept> {
    let (sender, receiver) = channel();
    for writer in 0..WRITERS {
        let sender = sender.clone();
        scope.spawn(move || {
            for number in 0.. {
                let name = format!("{round}-{writer}-{number}");
                // Whoever listened may have heard enough.
                let kept = write(program, writer, &name);
                if kept.is_none_or(|kept| sender.send(kept).is_err()) {
                    return;
                }
            }
        });
    }
    receiver
}

fn write(program: &Program, writer: usize, name: &str) -> Option<Kept> {
    if writer == 0 {
        let bundle = name.repeat(10_000).into_bytes();
        let digest = Sha256::of(&bundle);
        let (status, body) = program.ask("PUT", &format!("/v1/bundles/{digest}"), &bundle)?;
        assert_eq!(status, 201, "{body}");
        return Some(Kept::Bundle(digest));
    }
    let body = json!({"name": name}).to_string();
    let (status, body) = program.ask("POST", "/v1/library/playlists", body.as_bytes())?;
    assert_eq!(status, 201, "{body}");
    Some(Kept::Playlist(
        body["playlistId"].as_str().unwrap().to_owned(),
    ))
}

/// What is not there any more, of all this.
pub(crate) fn lost(program: &Program, kept: &[Kept]) -> Vec<Kept> {
    let text = |items: Vec<Value>, name: &str| -> BTreeSet<String> {
        let items = items.into_iter();
        items
            .map(|i| i[name].as_str().unwrap().to_owned())
            .collect()
    };
    let playlists = text(program.all("/v1/library/playlists"), "playlistId");
    let there = |kept: &&Kept| match kept {
        Kept::Playlist(id) => playlists.contains(id),
        // Its row and its file.
        Kept::Bundle(digest) => program
            .ask("GET", &format!("/v1/bundles/{digest}"), b"")
            .is_some_and(|(status, _)| status == 200),
    };
    kept.iter().filter(|k| !there(k)).cloned().collect()
}
