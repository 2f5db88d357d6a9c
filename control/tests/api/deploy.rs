//! What docs/deploy says is what the program does: metrics, routes and options that it names are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fleet_control::api::routes;
use serde_json::{Value, json};

use crate::monitoring::Scrape;
use crate::world::World;
use crate::world::program::help;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/deploy")
}

fn text(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

/// The documents of a YAML file.
fn yaml(name: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&text(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Every text in a document with the name that it stands under.
fn strings<'a>(value: &'a Value, under: &'a str, found: &mut Vec<(&'a str, &'a str)>) {
    match value {
        Value::String(text) => found.push((under, text)),
        Value::Array(items) => items.iter().for_each(|i| strings(i, under, found)),
        Value::Object(fields) => fields.iter().for_each(|(n, v)| strings(v, n, found)),
        _ => {}
    }
}

/// The expressions of all alerts and panels.
fn queries() -> Vec<String> {
    let mut documents = yaml("prometheus-rules.yml");
    documents.push(serde_json::from_str(&text("grafana-dashboard.json")).unwrap());
    let mut found = Vec::new();
    for document in &documents {
        strings(document, "", &mut found);
    }
    let expressions = found.into_iter().filter(|(name, _)| *name == "expr");
    expressions.map(|(_, text)| text.to_owned()).collect()
}

/// Metrics of ours in a query, each with the labels that it is selected by.
fn selectors(query: &str) -> Vec<(String, Vec<String>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        let word = &rest[at..];
        let end = word.find(|c| !is_name(c)).unwrap_or(word.len());
        let (name, after) = word.split_at(end);
        let inside = after.strip_prefix('{').and_then(|a| a.split_once('}'));
        rest = inside.map_or(after, |(_, after)| after);
        if name.starts_with("fleet_") || name.starts_with("process_") {
            let inside = inside.map_or("", |(inside, _)| inside);
            let labels = inside.split(',').filter_map(|l| l.split(['=', '!']).next());
            let labels = labels.filter(|l| !l.is_empty()).map(str::to_owned);
            found.push((name.to_owned(), labels.collect()));
        }
    }
    found
}

#[test]
fn rules_and_dashboard_ask_only_for_metrics_that_there_are() {
    let world = World::new();
    world.get("/v1/devices").ok();
    let scrape = Scrape::of(&world);
    let names = scrape.names();
    let mut asked = BTreeSet::new();
    for query in queries() {
        for (name, labels) in selectors(&query) {
            assert!(names.contains(&name), "{name} is not measured: {query}");
            // `job` and `instance` are Prometheus' own.
            for label in labels
                .iter()
                .filter(|l| !["instance", "job"].contains(&l.as_str()))
            {
                let known = scrape.series.keys().any(|series| {
                    series.starts_with(&format!("{name}{{"))
                        && series.contains(&format!("{label}=\""))
                });
                assert!(known, "{name} has no label {label}: {query}");
            }
            asked.insert(name);
        }
    }
    assert!(asked.len() > 15, "{asked:?}");
}

#[test]
fn a_selector_is_found_wherever_it_stands() {
    let query =
        "sum by (le) (rate(fleet_a_bucket{route!~\".*x\",status=\"5xx\"}[5m])) / process_b > 1";
    let labels = ["route", "status"].map(str::to_owned).to_vec();
    let expected = [
        ("fleet_a_bucket".to_owned(), labels),
        ("process_b".to_owned(), Vec::new()),
    ];
    assert_eq!(selectors(query), expected);
}

fn is_route(path: &str) -> bool {
    routes().iter().any(|r| r.path == path && r.method == "GET")
}

#[test]
fn probes_ask_for_routes_that_there_are() {
    let mut probed = BTreeSet::new();
    for document in yaml("kubernetes/fleet-control.yml") {
        assert!(document["apiVersion"].is_string() && document["kind"].is_string());
        let containers = &document["spec"]["template"]["spec"]["containers"];
        for container in containers.as_array().into_iter().flatten() {
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                let get = &container[probe]["httpGet"];
                assert_eq!(get["scheme"], "HTTPS", "{probe}");
                assert_eq!(get["port"], container["ports"][0]["name"], "{probe}");
                probed.insert(get["path"].as_str().unwrap().to_owned());
            }
        }
    }
    let compose = &yaml("compose.yml")[0]["services"]["fleet-control"];
    let check = compose["healthcheck"]["test"].as_array().unwrap();
    let url = check.last().unwrap().as_str().unwrap();
    let path = url.strip_prefix("https://localhost:8443").unwrap();
    probed.insert(path.to_owned());
    assert_eq!(probed.len(), 2);
    for path in probed {
        assert!(is_route(&path), "{path}");
    }
}

#[test]
fn the_embedded_database_has_one_server_at_a_time() {
    let all = yaml("kubernetes/fleet-control.yml");
    let deployment = all.iter().find(|d| d["kind"] == "Deployment").unwrap();
    assert_eq!(deployment["spec"]["replicas"], 1);
    assert_eq!(deployment["spec"]["strategy"], json!({"type": "Recreate"}));
}

/// Command lines in docs/deploy, each as the subcommand and what follows it.
fn command_lines() -> Vec<Vec<String>> {
    let words = |value: &Value| -> Vec<String> {
        let words = value.as_array().unwrap().iter();
        words.map(|w| w.as_str().unwrap().to_owned()).collect()
    };
    let mut lines = vec![words(
        &yaml("compose.yml")[0]["services"]["fleet-control"]["command"],
    )];
    for document in yaml("kubernetes/fleet-control.yml") {
        if document["kind"] == "Deployment" {
            lines.push(words(
                &document["spec"]["template"]["spec"]["containers"][0]["args"],
            ));
        }
    }
    let files = [
        "README.md",
        "Containerfile",
        "fleet-control.service",
        "fleet-control-backup.service",
    ];
    let ours = ["serve", "check", "backup", "restore"];
    for text in files.map(text) {
        for line in text.lines() {
            if let Some(command) = line.strip_prefix("CMD ") {
                lines.push(words(&serde_json::from_str(command).unwrap()));
            }
            for command in ours {
                let begin = format!("fleet-control {command} ");
                if let Some((_, rest)) = line.split_once(&begin)
                    && (line.starts_with("ExecStart") || line.starts_with("    "))
                {
                    let rest = rest.split_whitespace().map(str::to_owned);
                    lines.push([command.to_owned()].into_iter().chain(rest).collect());
                }
            }
        }
    }
    lines
}

/// The names of variables, and other words like them.
fn capitals(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_uppercase() && c != '_')
}

#[test]
fn command_lines_have_only_options_that_there_are() {
    let lines = command_lines();
    assert!(lines.len() >= 7, "{lines:?}");
    for line in lines {
        let help = help(&line[0]);
        for word in line.iter().filter(|w| w.starts_with("--")) {
            let option = word.split('=').next().unwrap();
            assert!(help.contains(option), "{option} of {line:?}");
        }
    }
    let help = help("serve");
    for file in [
        "README.md",
        "compose.yml",
        "fleet-control.service",
        "kubernetes/fleet-control.yml",
    ] {
        let text = text(file);
        for word in capitals(&text).filter(|word| word.starts_with("FLEET_")) {
            assert!(capitals(&help).any(|known| known == word), "{file}: {word}");
        }
    }
}

#[test]
fn every_metric_is_described() {
    let world = World::new();
    world.get("/v1/devices").ok();
    let described = text("README.md");
    for name in Scrape::of(&world).types.keys() {
        assert!(
            described.contains(&format!("`{name}`")),
            "README.md: {name}"
        );
    }
}
