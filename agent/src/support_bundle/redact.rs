//! Taking secrets out of text before it leaves the device. Pure.
//!
//! Two nets. *Known values*: what lies in the identity folder is looked for verbatim, wherever it
//! turns up. *Known shapes*: private key blocks, passwords in `key=value` and JSON, bearer tokens,
//! whatever their value. Text is redacted whole before it is cut to a size, so that no half of a
//! secret remains at the cut.

/// What stands where a secret stood.
pub const REDACTED: &str = "[redacted]";

/// Shorter values would blot out harmless text.
const SHORTEST_SECRET: usize = 6;

/// Field names whose values never leave the device, compared without case, `_` and `-`.
const SECRET_FIELDS: [&str; 14] = [
    "psk",
    "passphrase",
    "password",
    "passwd",
    "secret",
    "token",
    "enrolmenttoken",
    "devicetoken",
    "xdevicetoken",
    "pin",
    "privatekey",
    "wepkey0",
    "authorization",
    "cookie",
];

/// The values that must not appear in a bundle. Printing it shows none of them.
#[derive(Clone, Default)]
pub struct Secrets(Vec<String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// Each line of `content` is a secret of its own: a key file is found again even if a log broke
    /// it into lines, and its armour lines are left alone.
    pub fn add(&mut self, content: &str) {
        for line in content.lines().map(str::trim) {
            if line.len() >= SHORTEST_SECRET && !line.starts_with("-----") {
                self.0.push(line.to_owned());
            }
        }
        // Longest first: a secret that contains another one goes as a whole.
        self.0
            .sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        self.0.dedup();
    }

    /// `text` without secrets.
    pub fn redact(&self, text: &str) -> String {
        let mut result = String::with_capacity(text.len());
        let mut in_key = false;
        for line in text.split_inclusive('\n') {
            if line.contains("-----BEGIN ") && line.contains("PRIVATE KEY-----") {
                in_key = true;
                result.push_str(REDACTED);
                result.push('\n');
            }
            if !in_key {
                result.push_str(&redact_fields(line));
            }
            if line.contains("-----END ") {
                in_key = false;
            }
        }
        for secret in &self.0 {
            if result.contains(secret.as_str()) {
                result = result.replace(secret.as_str(), REDACTED);
            }
        }
        result
    }
}

/// Replaces the values of secret fields in one line of `key=value`, `key: value` or JSON.
fn redact_fields(line: &str) -> String {
    let mut result = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(['=', ':']) {
        let (before, after) = rest.split_at(at + 1);
        result.push_str(before);
        rest = after;
        if !is_secret(&before[..at]) {
            continue;
        }
        let value = rest.trim_start_matches([' ', '\t']);
        result.push_str(&rest[..rest.len() - value.len()]);
        let end = value_end(value);
        if end > 0 {
            result.push_str(REDACTED);
        }
        rest = &value[end..];
    }
    result.push_str(rest);
    result
}

/// Whether `text` ends in the name of a secret field.
fn is_secret(text: &str) -> bool {
    let text = text.trim_end_matches(['"', '\'', ' ', '\t']);
    let start = text
        .rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-')
        .map_or(0, |at| {
            at + text[at..].chars().next().map_or(1, char::len_utf8)
        });
    let name: String = text[start..]
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    SECRET_FIELDS.contains(&name.as_str())
}

/// Where a value ends: at its closing quote, or at the end of the line for bare text, which may
/// contain spaces (`Authorization: Bearer …`).
fn value_end(value: &str) -> usize {
    let Some(quote @ ('"' | '\'')) = value.chars().next() else {
        return value.trim_end_matches(['\n', '\r']).len();
    };
    let mut escaped = false;
    for (at, c) in value.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    value.trim_end_matches(['\n', '\r']).len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secrets_in_the_usual_shapes_are_taken_out() {
        let check = |line: &str, expected: &str| {
            assert_eq!(Secrets::default().redact(line), expected);
        };
        check("psk=\"my secret\"\n", "psk=[redacted]\n");
        check("  psk=00ff\nssid=x", "  psk=[redacted]\nssid=x");
        check(
            r#"{"enrolmentToken":"a\"b","serverUrl":"https://h:1"}"#,
            r#"{"enrolmentToken":[redacted],"serverUrl":"https://h:1"}"#,
        );
        check("X-Device-Token: abc def\n", "X-Device-Token: [redacted]\n");
        check("authorization: Bearer abc\n", "authorization: [redacted]\n");
        check(
            "a\n-----BEGIN PRIVATE KEY-----\nxx\n-----END PRIVATE KEY-----\nb\n",
            "a\n[redacted]\nb\n",
        );
        check(
            "the key is fine: 12:30 = noon",
            "the key is fine: 12:30 = noon",
        );
        check(
            "-----BEGIN CERTIFICATE-----\nAA\n",
            "-----BEGIN CERTIFICATE-----\nAA\n",
        );
    }

    #[test]
    fn a_private_key_without_an_end_hides_the_rest() {
        let text = "-----BEGIN EC PRIVATE KEY-----\nAAAA\nBBBB\n";
        assert_eq!(Secrets::default().redact(text), "[redacted]\n");
    }

    proptest! {
        #[test]
        fn no_known_secret_is_left_wherever_it_stands(
            secrets in proptest::collection::vec("[A-Za-z0-9+/=]{8,70}", 1..5),
            before in "\\PC{0,60}", between in "\\PC{0,60}",
        ) {
            let mut known = Secrets::default();
            let mut text = before;
            for secret in &secrets {
                known.add(secret);
                text.push_str(secret);
                text.push_str(&between);
                text.push('\n');
                text.push_str(secret);
            }
            let redacted = known.redact(&text);
            for secret in &secrets {
                prop_assert!(!redacted.contains(secret.as_str()), "{redacted}");
            }
        }

        #[test]
        fn what_was_redacted_is_left_as_it_is_by_redacting_it_again(text in "\\PC{0,200}") {
            let once = Secrets::default().redact(&text);
            prop_assert_eq!(Secrets::default().redact(&once), once);
        }
    }
}
