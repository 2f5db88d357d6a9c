//! What letters say, in plain text and as a page, and how they are put on the wire (RFC 5322).

use std::time::SystemTime;

use askama::Template;
use jiff::Timestamp;
use lettre::Message;
use lettre::address::Address;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};

/// Why there is no letter.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    #[error("mail can't be sent to `{0}`")]
    Address(String),
    #[error("the letter can't be put together")]
    Message(#[from] lettre::error::Error),
    #[error("the letter can't be written")]
    Text(#[from] askama::Error),
}

/// One mail to one address.
#[derive(Clone)]
#[expect(
    missing_debug_implementations,
    reason = "may hold a link that lets somebody in"
)]
pub struct Letter {
    /// Goes into the Message-ID: whoever gets the same letter twice can tell.
    pub id: String,
    pub at: Timestamp,
    pub to: String,
    pub name: Option<String>,
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// An address that a letter can be sent to.
pub fn address(text: &str) -> Result<Address, LetterError> {
    text.parse()
        .map_err(|_| LetterError::Address(text.to_owned()))
}

/// What somebody called something, for a line of its own: nothing in it ends the line.
pub(crate) fn one_line(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.collect::<String>().trim().to_owned()
}

impl Letter {
    pub(super) fn message(&self, sender: &Mailbox) -> Result<Message, LetterError> {
        let name = self
            .name
            .as_deref()
            .map(one_line)
            .filter(|name| !name.is_empty());
        let id = format!("<{}@{}>", self.id, sender.email.domain());
        // RFC 3834: nobody's absence is to answer it.
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        let message = Message::builder()
            .message_id(Some(id))
            .date(SystemTime::from(self.at))
            .from(sender.clone())
            .to(Mailbox::new(name, address(&self.to)?))
            .subject(one_line(&self.subject))
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .multipart(MultiPart::alternative_plain_html(
                self.text.clone(),
                self.html.clone(),
            ))?;
        Ok(message)
    }
}

/// Why somebody is to choose a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    Invited,
    /// They, or an administrator, asked for it.
    Reset,
}

/// What goes with a link by which somebody chooses a password.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "the link lets somebody in")]
pub struct PasswordLink<'a> {
    pub occasion: Occasion,
    pub organisation: &'a str,
    pub name: &'a str,
    pub email: &'a str,
    pub link: &'a str,
    pub expires_at: Timestamp,
}

#[derive(Template)]
#[template(path = "mail/password.txt")]
struct PasswordText<'a> {
    invited: bool,
    organisation: &'a str,
    name: &'a str,
    link: &'a str,
    until: &'a str,
}

#[derive(Template)]
#[template(path = "mail/password.html")]
struct PasswordPage<'a> {
    invited: bool,
    organisation: &'a str,
    name: &'a str,
    link: &'a str,
    until: &'a str,
}

impl PasswordLink<'_> {
    /// The letter that brings it.
    pub fn letter(&self, id: String, at: Timestamp) -> Result<Letter, LetterError> {
        let organisation = &one_line(self.organisation);
        let name = &one_line(self.name);
        let until = &self.expires_at.strftime("%-d %B %Y, %H:%M UTC").to_string();
        let (invited, link) = (self.occasion == Occasion::Invited, self.link);
        let text = PasswordText {
            invited,
            organisation,
            name,
            link,
            until,
        };
        let html = PasswordPage {
            invited,
            organisation,
            name,
            link,
            until,
        };
        let subject = match self.occasion {
            Occasion::Invited => format!("You are invited to the screens of {organisation}"),
            Occasion::Reset => format!("A new password for the screens of {organisation}"),
        };
        Ok(Letter {
            id,
            at,
            to: self.email.to_owned(),
            name: Some(name.clone()),
            subject,
            text: text.render()?,
            html: html.render()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &str = "https://fleet.example/join?token=AbC-123_x";

    fn link(organisation: &str, name: &str, occasion: Occasion) -> Letter {
        let link = PasswordLink {
            occasion,
            organisation,
            name,
            email: "anna@example.org",
            link: LINK,
            expires_at: Timestamp::UNIX_EPOCH,
        };
        link.letter("msg_1".to_owned(), Timestamp::UNIX_EPOCH)
            .unwrap()
    }

    fn wire(letter: &Letter) -> String {
        let sender = "Fleet <fleet@example.org>".parse().unwrap();
        String::from_utf8(letter.message(&sender).unwrap().formatted()).unwrap()
    }

    /// What stands before the first empty line, a header a line.
    fn head(wire: &str) -> Vec<String> {
        let (head, _) = wire.split_once("\r\n\r\n").unwrap();
        let unfolded = head.replace("\r\n ", " ");
        unfolded.split("\r\n").map(str::to_owned).collect()
    }

    #[test]
    fn an_invitation_says_who_invites_and_has_the_link_in_text_and_page() {
        let letter = link("Pub & Sons", "Anna", Occasion::Invited);
        assert_eq!(
            letter.subject,
            "You are invited to the screens of Pub & Sons"
        );
        assert!(
            letter.text.starts_with("Hello Anna,\n\n"),
            "{}",
            letter.text
        );
        assert!(letter.text.contains("Pub & Sons"), "{}", letter.text);
        assert!(
            letter.text.contains("1 January 1970, 00:00 UTC"),
            "{}",
            letter.text
        );
        assert!(
            letter.text.lines().any(|line| line == LINK),
            "{}",
            letter.text
        );
        assert!(letter.html.contains("Pub &#38; Sons"), "{}", letter.html);
        assert!(
            letter.html.contains(&format!("<a href=\"{LINK}\">")),
            "{}",
            letter.html
        );
        let reset = link("Pub & Sons", "Anna", Occasion::Reset);
        assert!(reset.text.contains("did not ask"), "{}", reset.text);
        assert_ne!(reset.text, letter.text);
    }

    #[test]
    fn a_message_has_the_headers_that_mail_needs() {
        let head = head(&wire(&link("Pub", "Anna", Occasion::Reset)));
        for line in [
            "Message-ID: <msg_1@example.org>",
            "Date: Thu, 01 Jan 1970 00:00:00 +0000",
            "From: Fleet <fleet@example.org>",
            "To: Anna <anna@example.org>",
            "Subject: A new password for the screens of Pub",
            "Auto-Submitted: auto-generated",
            "MIME-Version: 1.0",
        ] {
            assert!(
                head.iter().any(|have| have == line),
                "no `{line}` in {head:#?}"
            );
        }
    }

    #[test]
    fn no_name_adds_a_header_or_a_recipient() {
        for evil in [
            "Anna\r\nBcc: eve@example.com",
            "Anna\nSubject: other",
            "Anna\" <eve@example.com>, \"",
            "Anna\0\u{2028}Bcc: eve@example.com",
        ] {
            for letter in [
                link(evil, "Anna", Occasion::Invited),
                link("Pub", evil, Occasion::Invited),
            ] {
                let sender = "Fleet <fleet@example.org>".parse().unwrap();
                let message = letter.message(&sender).unwrap();
                assert_eq!(
                    message.envelope().to(),
                    [address("anna@example.org").unwrap()]
                );
                let head = head(&String::from_utf8(message.formatted()).unwrap());
                let names: Vec<_> = head
                    .iter()
                    .map(|line| line.split(':').next().unwrap())
                    .collect();
                let known = [
                    "Message-ID",
                    "Date",
                    "From",
                    "To",
                    "Subject",
                    "Auto-Submitted",
                    "MIME-Version",
                    "Content-Type",
                ];
                assert_eq!(names, known, "{head:#?}");
            }
        }
    }

    #[test]
    fn names_in_any_script_are_encoded() {
        let wire = wire(&link("Café Zoë", "Ærøskøbing", Occasion::Invited));
        assert!(wire.is_ascii(), "{wire}");
    }

    #[test]
    fn what_is_no_address_gets_no_letter() {
        for bad in [
            "anna",
            "anna@",
            "a b@example.org",
            "anna@example.org\r\nBcc: e@e.org",
            "<a@b.org>",
        ] {
            assert!(
                matches!(address(bad), Err(LetterError::Address(_))),
                "{bad}"
            );
        }
    }
}
