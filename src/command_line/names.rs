//! Flags that are names out of a registry: architectures, defenses and attacks, each with its line in help.

use super::settings::for_help;
use crate::attacks::AttackKind;
use crate::nn::Network;
use crate::training::Method;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// Reads the name of an architecture, and lists all of them in help.
pub fn networks() -> impl TypedValueParser<Value = Network> {
    let values =
        Network::all().map(|network| PossibleValue::new(network.name()).help(for_help(network.title())));
    PossibleValuesParser::new(values).try_map(|name| name.parse::<Network>())
}

/// Reads the name of a defense, and lists all of them in help.
pub fn methods() -> impl TypedValueParser<Value = Method> {
    let values = Method::all().into_iter().map(|m| PossibleValue::new(m.name()).help(for_help(m.about)));
    PossibleValuesParser::new(values).try_map(|name| name.parse::<Method>())
}

/// Reads the name of an attack, and lists all of them in help.
pub fn attacks() -> impl TypedValueParser<Value = AttackKind> {
    let values = AttackKind::all().into_iter().map(|kind| PossibleValue::new(kind.name()).help(kind.about));
    PossibleValuesParser::new(values).try_map(|name| name.parse::<AttackKind>())
}
