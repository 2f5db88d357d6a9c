//! What operators type for a thing: its id, or a name that only one has.

use crate::error::{CommandError, Result};
use crate::output::printable;

/// Something that people call by a name.
pub(crate) trait Named {
    /// In a sentence, such as `playlist`.
    const KIND: &'static str;
    /// The command that lists them.
    const LIST: &'static str;

    fn id(&self) -> &str;

    fn is_called(&self, text: &str) -> bool;
}

/// # Errors
/// When none or several are called so.
pub(crate) fn find<'a, T: Named>(all: &'a [T], text: &str) -> Result<&'a T> {
    if let Some(one) = all.iter().find(|one| one.id() == text) {
        return Ok(one);
    }
    let called: Vec<&T> = all.iter().filter(|one| one.is_called(text)).collect();
    match called.as_slice() {
        [one] => Ok(one),
        [] => Err(
            CommandError::not_found(format!("no {} is called `{text}`", T::KIND))
                .hint(format!("list them with `{}`", T::LIST)),
        ),
        several => {
            let ids: Vec<&str> = several.iter().map(|one| one.id()).collect();
            let count = several.len();
            Err(
                CommandError::usage(format!("{count} {}s are called `{text}`", T::KIND))
                    .hint(format!("say which by its id: {}", ids.join(", "))),
            )
        }
    }
}

/// `Menu (pl_1)`: for people.
pub(crate) fn label(name: &str, id: &str) -> String {
    format!("{} ({id})", printable(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    struct Thing(&'static str, &'static str);

    impl Named for Thing {
        const KIND: &'static str = "thing";
        const LIST: &'static str = "fleet thing list";

        fn id(&self) -> &str {
            self.0
        }

        fn is_called(&self, text: &str) -> bool {
            self.1 == text
        }
    }

    const THINGS: [Thing; 4] = [
        Thing("t_1", "menu"),
        Thing("t_2", "bar"),
        Thing("t_3", "bar"),
        Thing("t_4", "t_1"),
    ];

    #[test]
    fn an_id_goes_before_a_name_that_only_one_has() {
        let found = |text| find(&THINGS, text).map(|thing| thing.0).unwrap();
        assert_eq!(found("t_1"), "t_1");
        assert_eq!(found("menu"), "t_1");
        assert_eq!(found("t_3"), "t_3");
    }

    #[test]
    fn a_name_of_none_or_of_several_is_refused_with_the_way_out() {
        let wrong = |text| find(&THINGS, text).map(|thing| thing.0).unwrap_err();
        let none = wrong("Menu");
        assert_eq!(none.kind, Kind::NotFound);
        assert_eq!(none.hints, ["list them with `fleet thing list`"]);
        let several = wrong("bar");
        assert_eq!(several.kind, Kind::Usage);
        assert_eq!(several.message, "2 things are called `bar`");
        assert_eq!(several.hints, ["say which by its id: t_2, t_3"]);
    }
}
