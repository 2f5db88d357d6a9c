//! An explanation as text: the answer first, then every slot in the order of precedence.

use fleet_protocol::schedule::{
    Candidate, Explanation, FallbackSource, FallbackVerdict, NotNow, Verdict,
};
use fleet_schedule::Zone;

use super::local;
use crate::output::{Output, Tone};

pub(super) fn text(explanation: &Explanation, zone: &Zone, output: Output) -> String {
    let mut text = format!("{}\n\n", output.paint(Tone::Strong, &explanation.summary));
    let mut fields = vec![
        ("device", explanation.device_id.to_string()),
        ("instant", explanation.at_utc.to_string()),
        (
            "there",
            format!("{} {}", explanation.local_time, explanation.timezone),
        ),
        ("valid to", local(zone, explanation.valid_to_utc)),
    ];
    if let Some(change) = &explanation.clock_change {
        fields.push(("clock", change.clone()));
    }
    text += &output.fields(&fields);
    let (others, asked): (Vec<_>, Vec<_>) = explanation
        .candidates
        .iter()
        .partition(|candidate| is_for_others(candidate));
    if !asked.is_empty() {
        let rows: Vec<Vec<String>> = asked.iter().map(|c| row(c, zone, output)).collect();
        text += "\n";
        text += &output.table(&["", "slot", "playlist", "", "why"], &rows);
    }
    if !others.is_empty() {
        let slots = if others.len() == 1 {
            "slot is"
        } else {
            "slots are"
        };
        text += &format!("{} {slots} for other devices and groups\n", others.len());
    }
    text + "\n" + &fallbacks(explanation, output)
}

fn is_for_others(candidate: &Candidate) -> bool {
    let reason = match candidate.verdict {
        Verdict::NotNow { reason, .. } => Some(reason),
        _ => None,
    };
    reason == Some(NotNow::OtherTarget)
}

fn row(candidate: &Candidate, zone: &Zone, output: Output) -> Vec<String> {
    let (sign, word, tone) = match &candidate.verdict {
        Verdict::Plays => ("✓", "plays", Tone::Good),
        Verdict::Outranked { .. } => ("✗", "outranked", Tone::Busy),
        Verdict::Unpublished => ("✗", "unpublished", Tone::Bad),
        Verdict::NotNow { .. } => ("·", "not now", Tone::Dim),
    };
    let next = match &candidate.verdict {
        Verdict::NotNow {
            next_utc: Some(next),
            ..
        } => format!("; begins next on {}", local(zone, *next)),
        _ => String::new(),
    };
    vec![
        output.paint(tone, sign),
        candidate.slot_id.to_string(),
        candidate.playlist_id.to_string(),
        output.paint(tone, word),
        format!("{}{next}", candidate.detail),
    ]
}

fn fallbacks(explanation: &Explanation, output: Output) -> String {
    let rows: Vec<Vec<String>> = explanation
        .fallbacks
        .iter()
        .map(|fallback| {
            let source = match fallback.source {
                FallbackSource::Venue => "the venue's",
                FallbackSource::Tenant => "the tenant's default",
                FallbackSource::LastPublished => "last published in the venue",
            };
            let (sign, word, tone) = match fallback.verdict {
                FallbackVerdict::Plays => ("✓", "plays", Tone::Good),
                FallbackVerdict::NotNeeded => ("·", "not needed", Tone::Dim),
                FallbackVerdict::NotSet => ("·", "not set", Tone::Dim),
                FallbackVerdict::Unpublished => ("✗", "no published version", Tone::Bad),
            };
            let playlist = fallback.playlist_id.as_ref();
            vec![
                output.paint(tone, sign),
                source.to_owned(),
                playlist.map_or("–", |id| id.as_str()).to_owned(),
                output.paint(tone, word),
            ]
        })
        .collect();
    output.table(&["", "fallback", "playlist", ""], &rows)
}
