//! `fleet alert rules`: by which figures something counts as wrong.

use std::path::PathBuf;

use clap::Subcommand;
use fleet_protocol::alert::{AlertKind, AlertRules, AlertRulesView};
use serde_json::{Map, Value};

use super::kind;
use crate::client::Client;
use crate::error::Result;
use crate::output::{Output, Tone};
use crate::{config, text};

const PATH: &str = "/v1/alert-rules";

#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Show the rules
    Show,
    /// Replace the rules by a TOML or JSON file; a rule that it leaves out is as it is by default
    Set {
        /// `-` reads JSON from standard input; else the name ends in .toml or .json
        file: PathBuf,
    },
    /// Have alerts of these kinds
    Enable {
        #[arg(required = true, value_parser = kind(), value_name = "KIND")]
        kinds: Vec<AlertKind>,
    },
    /// Have no alerts of these kinds; those that are open end
    Disable {
        #[arg(required = true, value_parser = kind(), value_name = "KIND")]
        kinds: Vec<AlertKind>,
    },
    /// Have them as they are by default
    Reset,
}

pub(super) fn run(command: RulesCommand, client: &Client, output: Output) -> Result<()> {
    let present: AlertRulesView = client.get(PATH)?;
    let rules = match command {
        RulesCommand::Show => None,
        RulesCommand::Set { file } => {
            let hint =
                "rules are objects by their kind: compare with `fleet alert rules show --json`";
            Some(config::read(&file, "set of alert rules", hint)?)
        }
        RulesCommand::Enable { kinds } => Some(switched(&present.rules, &kinds, true)),
        RulesCommand::Disable { kinds } => Some(switched(&present.rules, &kinds, false)),
        RulesCommand::Reset => Some(Map::new()),
    };
    let view = match rules {
        None => present,
        Some(rules) => client.put_if_match(PATH, present.version, &rules)?,
    };
    output.result(&view, |view| shown(view, output));
    Ok(())
}

fn fields(rules: &AlertRules) -> Map<String, Value> {
    let fields = serde_json::to_value(rules).and_then(serde_json::from_value);
    fields.expect("rules are an object of plain data")
}

fn switched(rules: &AlertRules, kinds: &[AlertKind], enabled: bool) -> Map<String, Value> {
    let mut fields = fields(rules);
    for kind in kinds {
        fields[kind.name()]["enabled"] = enabled.into();
    }
    fields
}

/// `holdSeconds 300` as `for 5m`, and the like.
fn figure(name: &str, value: &Value) -> String {
    let number = value.as_u64().unwrap_or(0);
    let time = text::human_duration(std::time::Duration::from_secs(number));
    match name {
        "holdSeconds" => format!("for {time}"),
        "resolveSeconds" => format!("over for {time}"),
        "withinSeconds" => format!("within {time}"),
        "freeBytes" => format!("less than {} free", crate::output::human_bytes(number)),
        "celsius" => format!("{number} °C"),
        "days" => format!("{number} days left"),
        "events" => format!("{number} events"),
        name => format!("{name} {value}"),
    }
}

fn shown(view: &AlertRulesView, output: Output) -> String {
    let row = |(kind, rule): (&String, &Value)| {
        let on = rule["enabled"] == true;
        let figures = rule.as_object().into_iter().flatten();
        let figures = figures.filter(|(name, _)| *name != "enabled");
        let figures: Vec<_> = figures.map(|(name, value)| figure(name, value)).collect();
        let state = if on {
            output.paint(Tone::Good, "on")
        } else {
            output.paint(Tone::Dim, "off")
        };
        vec![kind.clone(), state, figures.join(", ")]
    };
    let rules = fields(&view.rules);
    let rows: Vec<_> = rules.iter().map(row).collect();
    output.table(&["kind", "alerts", "when"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::tests::plain;

    #[test]
    fn every_kind_has_a_rule_of_its_name_that_can_be_switched_off() {
        let off = switched(&AlertRules::default(), &AlertKind::ALL, false);
        assert_eq!(off.len(), AlertKind::ALL.len());
        assert!(off.values().all(|rule| rule["enabled"] == false));
        let rules: AlertRules = serde_json::from_value(Value::Object(off)).unwrap();
        let view = AlertRulesView {
            version: 1,
            updated_at: None,
            rules,
        };
        let shown = shown(&view, plain());
        assert!(shown.contains("less than 512.0 MiB free"), "{shown}");
        assert!(
            shown.contains("off") && !shown.contains("Seconds"),
            "{shown}"
        );
    }
}
