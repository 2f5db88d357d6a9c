//! `fleet totp`: a second factor (RFC 6238) for one's own logins.

use clap::Subcommand;
use fleet_protocol::access::{TotpBegun, TotpCode, TotpConfirmed};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use serde::Serialize;

use crate::args::Global;
use crate::ask;
use crate::client::{Client, NoBody};
use crate::context;
use crate::error::{Kind, Result};
use crate::output::{Output, Tone, printable};

const PATH: &str = "/v1/auth/totp";
/// Of a code that a person types.
const TRIES: u32 = 3;
const HINT: &str = "give --code, six digits of the authenticator or a recovery code";

#[derive(Debug, Subcommand)]
pub enum TotpCommand {
    /// Show a secret for an authenticator, and ask for its first code: on standard input, by scripts too
    Enable,
    /// Log in by the password alone from now on
    Disable {
        /// Six digits of the authenticator, or a recovery code; else it is asked for
        #[arg(long)]
        code: Option<String>,
    },
}

/// `--json` shape of `disable`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SecondFactor {
    totp: bool,
}

/// # Errors
/// When the code is wrong.
pub(crate) fn run(command: TotpCommand, global: &Global, output: Output) -> Result<()> {
    let client = context::client(global)?;
    match command {
        TotpCommand::Enable => enable(&client, output),
        TotpCommand::Disable { code } => {
            let code = match code {
                Some(code) => code,
                None => ask::line("Code of the authenticator", None, HINT)?,
            };
            let code = TotpCode { code };
            let _: serde_json::Value = client.post(&format!("{PATH}/remove"), &code)?;
            output.result(&SecondFactor { totp: false }, |_| {
                "The password alone is asked for from now on\n".to_owned()
            });
            Ok(())
        }
    }
}

fn enable(client: &Client, output: Output) -> Result<()> {
    let begun: TotpBegun = client.post(PATH, &NoBody {})?;
    output.line(&begun, |begun| {
        format!(
            "{}\nPoint an authenticator at it, or type its secret: {}\n",
            picture(&begun.uri),
            printable(&begun.secret)
        )
    });
    output.note("Then give the code that it shows:");
    let mut tries = 1;
    let confirmed = loop {
        match confirm(client) {
            Err(error) if error.kind == Kind::Refused && ask::is_somebody() && tries < TRIES => {
                output.note(&format!("{error}. Give the one that it shows now:"));
                tries += 1;
            }
            answer => break answer?,
        }
    };
    output.line(&confirmed, |c| recovery(c, output));
    Ok(())
}

fn confirm(client: &Client) -> Result<TotpConfirmed> {
    let code = ask::next_line()?.trim().to_owned();
    client.post(&format!("{PATH}/confirm"), &TotpCode { code })
}

fn recovery(confirmed: &TotpConfirmed, output: Output) -> String {
    let mut text = "Every login asks for a code from now on. These replace the authenticator when it is lost, \
         each once; they are not shown again:\n\n"
        .to_owned();
    for code in &confirmed.recovery_codes {
        text += &format!("  {}\n", output.paint(Tone::Strong, &printable(code)));
    }
    text
}

/// Two modules a character, light on dark: terminals mostly are.
fn picture(uri: &str) -> String {
    match QrCode::with_error_correction_level(uri, EcLevel::L) {
        Ok(code) => code
            .render::<Dense1x2>()
            .dark_color(Dense1x2::Light)
            .light_color(Dense1x2::Dark)
            .build(),
        // Longer than a QR code can be: there is the text.
        Err(_) => printable(uri),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_square_that_fits_a_terminal() {
        let uri = "otpauth://totp/Fleet:ada%40example.org?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Fleet&digits=6&period=30";
        let picture = picture(uri);
        let lines: Vec<&str> = picture.lines().collect();
        let width = lines[0].chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == width));
        assert!(width <= 80 && lines.len() <= 40, "{picture}");
        assert!(lines[0].starts_with('█'), "the quiet zone is light");
    }
}
