//! A schema in words: what a value is, which fields it has, which forms it may take.

use serde_json::Value;

/// A part of a type's name, with the type that it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) link: Option<String>,
}

/// Sentences, and whether each stretch of them is code.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Prose(pub(super) Vec<(bool, String)>);

impl Prose {
    /// Of text with code between backticks.
    pub(super) fn new(text: &str) -> Self {
        let stretches = text.split('`').enumerate();
        let stretches = stretches.filter(|(_, stretch)| !stretch.is_empty());
        Self(
            stretches
                .map(|(place, stretch)| (place % 2 == 1, stretch.to_owned()))
                .collect(),
        )
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

pub(super) fn prose(value: &Value) -> Prose {
    Prose::new(value.as_str().unwrap_or_default())
}

/// A type as it is shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TypeView {
    pub(super) about: Prose,
    /// What it is, when it has neither fields nor forms.
    pub(super) kind: Vec<Piece>,
    pub(super) fields: Vec<Field>,
    /// It is one of these.
    pub(super) forms: Vec<Form>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) required: bool,
    pub(super) kind: Vec<Piece>,
    pub(super) about: Prose,
    /// Of an object that has no name of its own: its fields.
    pub(super) fields: Vec<Field>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// What it is told by, such as `state: idle`.
    pub(super) name: String,
    pub(super) about: Prose,
    pub(super) fields: Vec<Field>,
}

impl TypeView {
    pub(super) fn of(schema: &Value) -> Self {
        let fields = fields(schema);
        let forms = forms(schema);
        let kind = if fields.is_empty() && forms.is_empty() {
            pieces(schema)
        } else {
            Vec::new()
        };
        Self {
            about: prose(&schema["description"]),
            kind,
            fields,
            forms,
        }
    }
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn fields(schema: &Value) -> Vec<Field> {
    let required = |name: &String| {
        let required = schema["required"].as_array();
        required.is_some_and(|all| all.iter().any(|r| r == name.as_str()))
    };
    let properties = schema["properties"].as_object().into_iter().flatten();
    let mut fields: Vec<_> = properties
        .map(|(name, field)| Field {
            name: name.clone(),
            required: required(name),
            kind: pieces(field),
            about: prose(&field["description"]),
            fields: fields(field),
        })
        .collect();
    // What is always there comes first.
    fields.sort_by_key(|field| !field.required);
    fields
}

/// The forms of a choice between objects, or between values that are each explained.
fn forms(schema: &Value) -> Vec<Form> {
    let choice = ["oneOf", "anyOf"].iter();
    let choice = choice.filter_map(|word| schema[*word].as_array()).flatten();
    let forms = choice.filter_map(|form| {
        let told = form["properties"].as_object().into_iter().flatten();
        let told = told.filter_map(|(name, field)| Some((name, field.get("const")?)));
        let name: Vec<_> = told
            .map(|(name, value)| format!("{name}: {}", plain(value)))
            .collect();
        let value = form.get("const").map(plain);
        let name = value.unwrap_or_else(|| name.join(", "));
        (!name.is_empty()).then(|| {
            let mut fields = fields(form);
            fields.retain(|field| form["properties"][&field.name].get("const").is_none());
            Form {
                name,
                about: prose(&form["description"]),
                fields,
            }
        })
    });
    forms.collect()
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// What a value is, in words.
pub(super) fn pieces(schema: &Value) -> Vec<Piece> {
    let word = |text: String| vec![Piece { text, link: None }];
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return vec![Piece {
            text: name.to_owned(),
            link: Some(name.to_owned()),
        }];
    }
    if let Some(value) = schema.get("const") {
        return word(format!("`{}`", plain(value)));
    }
    if let Some(values) = schema["enum"].as_array() {
        return word(values.iter().map(plain).collect::<Vec<_>>().join(" | "));
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        if let Some(several) = schema[choice].as_array() {
            let several = several.iter().filter(|one| one["type"] != "null");
            return several.map(pieces).collect::<Vec<_>>().join(&Piece {
                text: " | ".to_owned(),
                link: None,
            });
        }
    }
    let types = match &schema["type"] {
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        Value::String(one) => vec![one.as_str()],
        _ => vec!["any"],
    };
    let kind = types.into_iter().find(|kind| *kind != "null");
    match kind.unwrap_or("null") {
        "array" => {
            let mut pieces = pieces(&schema["items"]);
            pieces.insert(
                0,
                Piece {
                    text: "list of ".to_owned(),
                    link: None,
                },
            );
            pieces
        }
        kind => word(scalar(kind, schema)),
    }
}

fn scalar(kind: &str, schema: &Value) -> String {
    let format = match schema["format"].as_str() {
        Some("date-time") => "instant",
        Some("date") => "date",
        Some("binary") => "bytes",
        _ if schema["contentEncoding"] == "base64" => "base64",
        _ => kind,
    };
    let number = |name: &str| schema.get(name).filter(|n| n.is_number());
    match (number("minimum"), number("maximum")) {
        (Some(least), Some(most)) => format!("{format}, {least} to {most}"),
        _ => format.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words(schema: &Value) -> String {
        pieces(schema).into_iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn a_type_is_said_in_words() {
        let check = |schema: Value, expected: &str| assert_eq!(words(&schema), expected);
        check(
            json!({"type": ["string", "null"], "format": "date-time"}),
            "instant",
        );
        check(
            json!({"type": "array", "items": {"$ref": "#/components/schemas/Entry"}}),
            "list of Entry",
        );
        check(
            json!({"type": "integer", "minimum": 0, "maximum": 127}),
            "integer, 0 to 127",
        );
        check(
            json!({"anyOf": [{"$ref": "#/a/Slot"}, {"type": "null"}]}),
            "Slot",
        );
        check(json!(true), "any");
    }

    #[test]
    fn a_choice_is_told_by_its_constant() {
        let schema = json!({"oneOf": [{
            "description": "Nothing to do.", "required": ["state"],
            "properties": {"state": {"const": "idle"}, "since": {"type": "integer"}},
        }]});
        let view = TypeView::of(&schema);
        assert_eq!(view.forms[0].name, "state: idle");
        assert_eq!(view.forms[0].fields.len(), 1);
    }
}
