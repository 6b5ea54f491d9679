//! Who is compared in the experiment `beyond`: the methods of the paper, defenses that people compare with, and variants of
//! PGN. Each has a grid of one strength, as long as the others', and the same epochs and seeds.

use super::settings::Settings;
use crate::pgn::GeneratorLoss;
use crate::training::defenses::{RADIUS, Strength};
use crate::training::{Method, TrainConfig};

/// A way of training that a method's name alone does not tell.
#[derive(Debug)]
pub struct Variant {
    /// As in run folders.
    pub name: &'static str,
    /// As in tables and figures.
    pub title: &'static str,
    /// Its method.
    pub method: Method,
    /// What it changes beside the strength.
    pub change: fn(&mut TrainConfig),
}

impl PartialEq for Variant {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// One of those who are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Contender {
    /// A method as it is, with the strength of its own.
    Plain(Method),
    /// A variant, over radii.
    Variant(&'static Variant),
}

/// TRADES, whose divergence has its usual weight.
static TRADES: Variant = Variant { name: "trades", title: "TRADES", method: Method::TRADES, change: |_| {} };
/// MART, likewise.
static MART: Variant = Variant { name: "mart", title: "MART", method: Method::MART, change: |_| {} };

// PGN at a stated radius, as all others are trained: the cheapest form, and the two that were best on validation images in the
// search of docs/variants.md.

/// The generator applied once.
static PGN_RADIUS: Variant = Variant {
    name: "pgn-radius",
    title: "PGN-radius",
    method: Method::PGN,
    change: |config| config.fixed_radius = true,
};

/// In two rounds.
static PGN_ROUNDS: Variant = Variant {
    name: "pgn-radius-2-rounds",
    title: "PGN-radius-2",
    method: Method::PGN,
    change: |config| {
        config.fixed_radius = true;
        config.generator_rounds = 2;
    },
};

/// In two rounds on the margin.
static PGN_ROUNDS_ON_THE_MARGIN: Variant = Variant {
    name: "pgn-radius-2-rounds-margin",
    title: "PGN-radius-2-margin",
    method: Method::PGN,
    change: |config| {
        config.fixed_radius = true;
        config.generator_rounds = 2;
        config.generator_objective = GeneratorLoss::Margin;
    },
};

impl Contender {
    /// All of them; those of the paper's first, variants of PGN last.
    pub fn all() -> [Self; 10] {
        [
            Self::Plain(Method::NATURAL),
            Self::Plain(Method::FGM),
            Self::Plain(Method::PGD),
            Self::Variant(&TRADES),
            Self::Variant(&MART),
            Self::Plain(Method::FAST),
            Self::Plain(Method::PGN),
            Self::Variant(&PGN_RADIUS),
            Self::Variant(&PGN_ROUNDS),
            Self::Variant(&PGN_ROUNDS_ON_THE_MARGIN),
        ]
    }

    /// Its method.
    pub fn method(self) -> Method {
        match self {
            Self::Plain(method) => method,
            Self::Variant(variant) => variant.method,
        }
    }

    /// As in tables and figures.
    pub fn title(self) -> &'static str {
        match self {
            Self::Plain(method) => method.title,
            Self::Variant(variant) => variant.title,
        }
    }

    /// What its curve runs over; nothing for natural training.
    pub fn strength(self) -> Option<Strength> {
        match self {
            Self::Plain(method) => method.strength,
            Self::Variant(_) => Some(RADIUS),
        }
    }

    /// The values of that, from weak to strong perturbations.
    pub fn grid(self, settings: &Settings) -> Vec<Option<f32>> {
        match self {
            Self::Plain(method) if method.strength.is_none() => vec![None],
            Self::Plain(method) => settings.grid(method).iter().copied().map(Some).collect(),
            Self::Variant(_) => settings.epsilons.iter().copied().map(Some).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DatasetKind;
    use crate::reproduce::Scale;

    #[test]
    fn every_contender_gets_as_many_settings_and_has_names_of_its_own() {
        let all = Contender::all();
        for scale in [Scale::Paper, Scale::Small, Scale::Smoke] {
            let settings = Settings::new(scale, DatasetKind::Cifar10, None);
            for contender in all {
                let expected = if contender.strength().is_none() { 1 } else { settings.epsilons.len() };
                assert_eq!(contender.grid(&settings).len(), expected, "{contender:?}");
            }
        }
        for (i, one) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|other| other.title() != one.title()), "{one:?}");
        }
    }

    #[test]
    fn every_variant_is_a_configuration_that_can_be_trained_at_every_scale() {
        for scale in [Scale::Paper, Scale::Small, Scale::Smoke] {
            for contender in Contender::all() {
                let mut config = Settings::new(scale, scale.dataset(), None).base;
                config.method = contender.method();
                if let Contender::Variant(variant) = contender {
                    (variant.change)(&mut config);
                }
                assert_eq!(config.check(), Ok(()), "{contender:?}");
            }
        }
    }
}
