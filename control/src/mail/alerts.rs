//! What a mail about alerts says: what happened within a minute, each alert as it stood last.

use std::collections::{BTreeSet, HashMap};

use askama::Template;
use fleet_protocol::AlertId;
use fleet_protocol::alert::{AlertKind, AlertView};
use fleet_protocol::webhook::{WebhookEvent, WebhookMessage};
use jiff::Timestamp;

use super::letter::{Letter, LetterError, one_line};

/// More than these are counted, and to be seen on the console.
const LISTED: usize = 50;

/// What goes into one.
#[derive(Debug, Clone, Copy)]
pub struct AlertMail<'a> {
    pub organisation: &'a str,
    pub public_url: &'a str,
    pub email: &'a str,
    /// In the order in which it happened.
    pub messages: &'a [WebhookMessage],
    /// All that happened, also what is not among them. None: somebody tries it out.
    pub events: usize,
}

/// An alert, on a line or two.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    kind: &'static str,
    about: String,
    detail: String,
    link: String,
}

/// Alerts of which the same is to be said.
#[derive(Debug)]
struct Section {
    title: &'static str,
    lines: Vec<Line>,
}

const SECTIONS: [(WebhookEvent, &str, &str); 3] = [
    (WebhookEvent::AlertOpened, "Wrong now", "new"),
    (
        WebhookEvent::AlertAcknowledged,
        "Looked after",
        "looked after",
    ),
    (WebhookEvent::AlertResolved, "Over", "over"),
];

#[derive(Template)]
#[template(path = "mail/alerts.txt")]
struct AlertText<'a> {
    organisation: &'a str,
    email: &'a str,
    console: &'a str,
    sections: &'a [Section],
    more: usize,
}

#[derive(Template)]
#[template(path = "mail/alerts.html")]
struct AlertPage<'a> {
    organisation: &'a str,
    email: &'a str,
    console: &'a str,
    sections: &'a [Section],
    more: usize,
}

/// For people.
const fn words(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::Offline => "offline",
        AlertKind::ErrorTrend => "many errors",
        AlertKind::LowDisk => "disk almost full",
        AlertKind::DownloadFailures => "downloads fail",
        AlertKind::BlankScreen => "blank screen",
        AlertKind::UpdateFailed => "update failed",
        AlertKind::Hot => "hot",
        AlertKind::UnderVoltage => "weak power supply",
        AlertKind::RolloutStopped => "rollout stopped",
        AlertKind::CertificateExpiring => "certificate ends soon",
    }
}

/// Of each alert the last that was said, in the order in which they came up.
fn last_words(messages: &[WebhookMessage]) -> Vec<(WebhookEvent, &AlertView)> {
    let mut places: HashMap<&AlertId, usize> = HashMap::new();
    let mut last = Vec::new();
    for message in messages {
        let Some(alert) = &message.data.alert else {
            continue;
        };
        let said = (message.event, alert);
        if let Some(place) = places.get(&alert.alert_id) {
            last[*place] = said;
        } else {
            places.insert(&alert.alert_id, last.len());
            last.push(said);
        }
    }
    last
}

impl AlertMail<'_> {
    /// The letter that tells it.
    pub fn letter(&self, id: String, at: Timestamp) -> Result<Letter, LetterError> {
        let organisation = &one_line(self.organisation);
        let last = last_words(self.messages);
        let sections = self.sections(&last);
        let listed: usize = sections.iter().map(|section| section.lines.len()).sum();
        // What was not kept can't be told from what is said twice of one alert.
        let left_out = self.events.saturating_sub(self.messages.len());
        let more = last.len() - listed + left_out;
        let console = &format!("{}/", self.public_url);
        let text = AlertText {
            organisation,
            email: self.email,
            console,
            sections: &sections,
            more,
        };
        let html = AlertPage {
            organisation,
            email: self.email,
            console,
            sections: &sections,
            more,
        };
        Ok(Letter {
            id,
            at,
            to: self.email.to_owned(),
            name: None,
            subject: format!("[{organisation}] {}", self.subject(&last, left_out)),
            text: text.render()?,
            html: html.render()?,
        })
    }

    fn sections(&self, last: &[(WebhookEvent, &AlertView)]) -> Vec<Section> {
        let mut room = LISTED;
        let mut sections = Vec::new();
        for (event, title, _) in SECTIONS {
            let alerts = last.iter().filter(|said| said.0 == event);
            let lines: Vec<_> = alerts.take(room).map(|said| self.line(said.1)).collect();
            room -= lines.len();
            if !lines.is_empty() {
                sections.push(Section { title, lines });
            }
        }
        sections
    }

    fn line(&self, alert: &AlertView) -> Line {
        let url = self.public_url;
        let (about, link) = match (&alert.device_id, &alert.rollout_id) {
            (Some(device), _) => {
                let name = alert.device_name.as_deref().map(one_line);
                let name = name.unwrap_or_else(|| device.to_string());
                (name, format!("{url}/devices/{device}"))
            }
            (None, Some(rollout)) => (rollout.to_string(), format!("{url}/rollouts/{rollout}")),
            (None, None) => (alert.alert_id.to_string(), format!("{url}/")),
        };
        let mut detail = one_line(&alert.detail);
        if let Some(known) = &alert.acknowledged {
            detail.push_str("; looked after by ");
            detail.push_str(&one_line(&known.by));
            if let Some(note) = &known.note {
                detail.push_str(": ");
                detail.push_str(&one_line(note));
            }
        }
        Line {
            kind: words(alert.kind),
            about,
            detail,
            link,
        }
    }

    fn subject(&self, last: &[(WebhookEvent, &AlertView)], left_out: usize) -> String {
        if left_out > 0 {
            return format!("more than {} alerts", last.len());
        }
        if let [(event, alert)] = last {
            let line = self.line(alert);
            let about = format!("{}: {}", line.about, line.kind);
            return match event {
                WebhookEvent::AlertResolved => format!("{about} is over"),
                WebhookEvent::AlertAcknowledged => format!("{about} is looked after"),
                _ => about,
            };
        }
        let mut parts = Vec::new();
        for (event, _, word) in SECTIONS {
            let alerts: Vec<_> = last.iter().filter(|said| said.0 == event).collect();
            if alerts.is_empty() {
                continue;
            }
            let kinds: BTreeSet<_> = alerts.iter().map(|said| words(said.1.kind)).collect();
            let kinds: Vec<_> = kinds.into_iter().collect();
            parts.push(format!("{} {word} ({})", alerts.len(), kinds.join(", ")));
        }
        if parts.is_empty() {
            return "this is how mail about alerts comes".to_owned();
        }
        format!("alerts: {}", parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use fleet_protocol::alert::{Acknowledgement, AlertState};
    use fleet_protocol::webhook::MessageData;

    use super::*;

    fn said(event: WebhookEvent, number: usize, kind: AlertKind) -> WebhookMessage {
        let alert = AlertView {
            alert_id: format!("alt_{number}").parse().unwrap(),
            kind,
            state: AlertState::Open,
            detail: format!("detail {number}"),
            device_id: Some(format!("dev_{number}").parse().unwrap()),
            device_name: Some(format!("screen {number}")),
            venue_id: None,
            rollout_id: None,
            since: Timestamp::UNIX_EPOCH,
            opened_at: Timestamp::UNIX_EPOCH,
            acknowledged: None,
            resolved_at: None,
        };
        WebhookMessage {
            event,
            timestamp: Timestamp::UNIX_EPOCH,
            data: MessageData { alert: Some(alert) },
        }
    }

    fn letter(messages: &[WebhookMessage], events: usize) -> Letter {
        let mail = AlertMail {
            organisation: "Pub & Sons",
            public_url: "https://fleet.example",
            email: "ops@example.org",
            messages,
            events,
        };
        mail.letter("msg_1".to_owned(), Timestamp::UNIX_EPOCH)
            .unwrap()
    }

    use WebhookEvent::{AlertAcknowledged, AlertOpened, AlertResolved};

    #[test]
    fn one_alert_is_told_by_the_subject_alone() {
        for (event, subject) in [
            (AlertOpened, "[Pub & Sons] screen 7: offline"),
            (
                AlertAcknowledged,
                "[Pub & Sons] screen 7: offline is looked after",
            ),
            (AlertResolved, "[Pub & Sons] screen 7: offline is over"),
        ] {
            let letter = letter(&[said(event, 7, AlertKind::Offline)], 1);
            assert_eq!(letter.subject, subject);
            assert!(
                letter
                    .text
                    .contains("https://fleet.example/devices/dev_7\n"),
                "{}",
                letter.text
            );
            assert!(letter.text.contains("detail 7"), "{}", letter.text);
            assert!(
                letter
                    .html
                    .contains("href=\"https://fleet.example/devices/dev_7\""),
                "{}",
                letter.html
            );
        }
    }

    #[test]
    fn a_venue_that_goes_dark_is_one_letter_with_the_first_of_them() {
        let messages: Vec<_> = (0..180)
            .map(|n| said(AlertOpened, n, AlertKind::Offline))
            .collect();
        let whole = letter(&messages, 180);
        assert_eq!(whole.subject, "[Pub & Sons] alerts: 180 new (offline)");
        assert_eq!(whole.text.matches("/devices/").count(), LISTED);
        assert!(whole.text.contains("And 130 more"), "{}", whole.text);
        let cut = letter(&messages, 5_000);
        assert_eq!(cut.subject, "[Pub & Sons] more than 180 alerts");
        assert!(cut.text.contains("And 4950 more"), "{}", cut.text);
    }

    #[test]
    fn of_an_alert_only_the_last_word_is_told() {
        let messages = [
            said(AlertOpened, 1, AlertKind::Hot),
            said(AlertOpened, 2, AlertKind::Offline),
            said(AlertResolved, 1, AlertKind::Hot),
        ];
        let letter = letter(&messages, 3);
        assert_eq!(
            letter.subject,
            "[Pub & Sons] alerts: 1 new (offline); 1 over (hot)"
        );
        assert_eq!(
            letter.text.matches("screen 1").count(),
            1,
            "{}",
            letter.text
        );
        assert!(!letter.text.contains("more"), "{}", letter.text);
    }

    #[test]
    fn names_and_notes_stay_on_their_line_and_out_of_the_page() {
        let mut message = said(AlertAcknowledged, 1, AlertKind::Hot);
        let alert = message.data.alert.as_mut().unwrap();
        alert.device_name = Some("lobby\r\nBcc: eve@example.com <b>".to_owned());
        alert.acknowledged = Some(Acknowledgement {
            at: Timestamp::UNIX_EPOCH,
            by: "anna@example.org".to_owned(),
            note: Some("dust\n<script>".to_owned()),
        });
        let letter = letter(&[message], 1);
        assert!(!letter.subject.contains('\n'), "{}", letter.subject);
        assert!(
            letter
                .text
                .contains("looked after by anna@example.org: dust <script>"),
            "{}",
            letter.text
        );
        assert!(
            !letter.html.contains("<script>") && !letter.html.contains("com <b>"),
            "{}",
            letter.html
        );
    }

    #[test]
    fn a_letter_that_tries_it_out_says_so() {
        let letter = letter(&[], 0);
        assert_eq!(
            letter.subject,
            "[Pub & Sons] this is how mail about alerts comes"
        );
        assert!(letter.text.contains("nothing is wrong"), "{}", letter.text);
    }
}
