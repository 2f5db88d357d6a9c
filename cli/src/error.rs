//! What an operator sees when something fails: a sentence, its causes, what to do next.
//!
//! The kind decides the exit code, which scripts may rely upon (documented in `--help` and
//! `docs/cli.md`).

use std::error::Error;

/// What went wrong, as far as a script needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Tried, and failed.
    Failed,
    /// The arguments make no sense; clap itself uses the same code.
    Usage,
    /// A file does not exist, or nothing on the control plane goes by that name.
    NotFound,
    /// Understood, but not allowed in the present state, or not to you; nothing was changed.
    Refused,
    /// The control plane could not be reached, or was too busy.
    Unreachable,
    /// The control plane did not accept the credentials.
    Unauthorized,
    /// Ended by the operator.
    Interrupted,
}

impl Kind {
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Refused => 4,
            Self::Unreachable => 5,
            Self::Unauthorized => 6,
            Self::Interrupted => 130,
        }
    }

    /// The name in `--json` errors.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotFound => "notFound",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Unauthorized => "unauthorized",
            Self::Interrupted => "interrupted",
        }
    }
}

/// An error with its kind and hints.
#[derive(Debug)]
pub struct CommandError {
    pub kind: Kind,
    pub message: String,
    pub hints: Vec<String>,
    /// What the control plane calls it, such as `BAD_CREDENTIALS`.
    pub code: Option<String>,
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

pub type Result<T, E = CommandError> = std::result::Result<T, E>;

impl CommandError {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hints: Vec::new(),
            code: None,
            source: None,
        }
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Kind::Refused, message)
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    pub fn has_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// An I/O error on a named file: not found and permission get their own hint.
    pub fn io(doing: impl Into<String>, source: std::io::Error) -> Self {
        let kind = source.kind();
        let error = Self::failed(doing).because(source);
        match kind {
            std::io::ErrorKind::NotFound => Self {
                kind: Kind::NotFound,
                ..error
            }
            .hint("check the path"),
            std::io::ErrorKind::PermissionDenied => {
                error.hint("check who owns it; devices usually need root (sudo)")
            }
            std::io::ErrorKind::StorageFull => error.hint("make room on that file system"),
            _ => error.hint("check the file and its file system, then try again"),
        }
    }

    /// The causes below the message, outermost first, without repeating it.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next: Option<&dyn Error> = self.source.as_deref().map(|e| e as &dyn Error);
        while let Some(error) = next {
            let text = error.to_string();
            if causes.last() != Some(&text) && text != self.message {
                causes.push(text);
            }
            next = error.source();
        }
        causes
    }
}

impl std::fmt::Display for CommandError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for CommandError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|e| e as &dyn Error)
    }
}
