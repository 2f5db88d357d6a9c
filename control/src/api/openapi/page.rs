//! The document as a page: everything that it says, and nothing else.

mod types;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use self::types::{Piece, Prose, TypeView, pieces, prose, text};
use crate::api::routes::routes;

#[derive(Template)]
#[template(path = "docs.html")]
struct Docs {
    title: &'static str,
    refresh_s: u32,
    version: String,
    about: Vec<Prose>,
    access: Vec<(String, Prose)>,
    groups: Vec<Group>,
    types: Vec<(String, TypeView)>,
}

/// The operations under one tag.
struct Group {
    anchor: String,
    name: String,
    operations: Vec<OperationView>,
}

struct OperationView {
    id: String,
    method: String,
    path: String,
    summary: String,
    details: Prose,
    access: String,
    parameters: Vec<Parameter>,
    body: Vec<Media>,
    /// Of a body in JSON that has a name.
    fields: Option<TypeView>,
    answers: Vec<AnswerView>,
    problems: Vec<Problems>,
}

struct Parameter {
    name: String,
    place: String,
    required: bool,
    kind: Vec<Piece>,
    about: Prose,
}

struct Media {
    name: String,
    kind: Vec<Piece>,
}

struct AnswerView {
    status: String,
    about: String,
    media: Vec<Media>,
    headers: Vec<(String, Prose)>,
}

struct Problems {
    status: String,
    codes: String,
}

/// The page; it is made once.
pub(super) fn render(document: &'static Value) -> Response {
    static PAGE: OnceLock<Docs> = OnceLock::new();
    let docs = PAGE.get_or_init(|| docs(document));
    crate::console::render(StatusCode::OK, docs)
}

fn docs(document: &Value) -> Docs {
    let schemas = document["components"]["schemas"].as_object();
    let types = schemas.into_iter().flatten();
    let about = text(&document["info"]["description"]);
    Docs {
        title: "API",
        refresh_s: 0,
        version: text(&document["info"]["version"]),
        about: about.split("\n\n").map(Prose::new).collect(),
        access: access(document),
        groups: groups(document),
        types: types
            .map(|(name, schema)| (name.clone(), TypeView::of(schema)))
            .collect(),
    }
}

fn access(document: &Value) -> Vec<(String, Prose)> {
    let schemes = document["components"]["securitySchemes"].as_object();
    let schemes = schemes.into_iter().flatten();
    schemes
        .map(|(name, scheme)| (words(name), prose(&scheme["description"])))
        .collect()
}

/// `deviceToken` as `device token`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

fn groups(document: &Value) -> Vec<Group> {
    let mut by_tag: BTreeMap<String, Vec<OperationView>> = BTreeMap::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let view = view(document, method, path, operation);
            let tag = text(&operation["tags"][0]);
            by_tag.entry(tag).or_default().push(view);
        }
    }
    let table = routes();
    let order: Vec<_> = table.iter().map(|r| (r.method.as_str(), r.path)).collect();
    let tags = document["tags"].as_array().into_iter().flatten();
    tags.filter_map(|tag| {
        let name = text(&tag["name"]);
        let mut operations = by_tag.remove(&name)?;
        operations.sort_by_key(|o| {
            order
                .iter()
                .position(|(m, path)| *m == o.method && *path == o.path)
        });
        let letters = name.chars().filter(char::is_ascii_alphanumeric);
        Some(Group {
            anchor: format!("group-{}", letters.collect::<String>()),
            name,
            operations,
        })
    })
    .collect()
}

fn view(document: &Value, method: &str, path: &str, operation: &Value) -> OperationView {
    let (mut answers, mut problems) = (Vec::new(), Vec::new());
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        match response["$ref"].as_str() {
            Some(reference) => problems.push(Problems {
                status: status.clone(),
                codes: text(&resolve(document, reference)["description"]),
            }),
            None => answers.push(answer(status, response)),
        }
    }
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let json = &operation["requestBody"]["content"]["application/json"]["schema"];
    let named = json["$ref"].as_str().map(|r| resolve(document, r));
    OperationView {
        id: text(&operation["operationId"]),
        method: method.to_uppercase(),
        path: path.to_owned(),
        summary: text(&operation["summary"]),
        details: prose(&operation["description"]),
        access: access_of(&operation["security"]),
        parameters: parameters.map(|p| parameter(document, p)).collect(),
        body: media(&operation["requestBody"]["content"]),
        fields: named.map(TypeView::of),
        answers,
        problems,
    }
}

fn parameter(document: &Value, parameter: &Value) -> Parameter {
    let schema = &parameter["schema"];
    let of_type = || {
        let named = schema["$ref"].as_str().map(|r| resolve(document, r));
        named.map_or_else(String::new, |schema| text(&schema["description"]))
    };
    let about = text(&parameter["description"]);
    Parameter {
        name: text(&parameter["name"]),
        place: text(&parameter["in"]),
        required: parameter["required"] == true,
        kind: pieces(schema),
        about: Prose::new(&if about.is_empty() { of_type() } else { about }),
    }
}

fn answer(status: &str, response: &Value) -> AnswerView {
    let headers = response["headers"].as_object().into_iter().flatten();
    AnswerView {
        status: status.to_owned(),
        about: text(&response["description"]),
        media: media(&response["content"]),
        headers: headers
            .map(|(name, header)| (name.clone(), prose(&header["description"])))
            .collect(),
    }
}

fn media(content: &Value) -> Vec<Media> {
    let content = content.as_object().into_iter().flatten();
    content
        .map(|(name, media)| Media {
            name: name.clone(),
            kind: if name == "application/json" {
                pieces(&media["schema"])
            } else {
                Vec::new()
            },
        })
        .collect()
}

fn access_of(security: &Value) -> String {
    let ways = security.as_array().into_iter().flatten().map(|way| {
        let names = way.as_object().into_iter().flatten();
        names
            .map(|(name, _)| words(name))
            .collect::<Vec<_>>()
            .join(" and ")
    });
    let ways: Vec<_> = ways.collect();
    if ways.is_empty() {
        return "anyone".to_owned();
    }
    ways.join(", or ")
}

fn resolve<'d>(document: &'d Value, reference: &str) -> &'d Value {
    let found = document.pointer(reference.trim_start_matches('#'));
    found.unwrap_or(&Value::Null)
}
