//! An attack and a defense that the program does not have, added in a few lines: every command takes them, and help and
//! reports show them. So nothing but the registries knows attacks and defenses by name.

use crate::command_line::{Cli, dispatch, program};
use clap::FromArgMatches;
use pgn_wgpu::attacks::steps::{Start, Steps, Victim};
use pgn_wgpu::attacks::{self, Attack, AttackKind, AttackOptions, Goal, Norm, Run, ball};
use pgn_wgpu::graph::{Graph, GraphError, Tensor};
use pgn_wgpu::training::defenses::{self, Inner};
use pgn_wgpu::training::step::{Objective, Phase, Stage};
use pgn_wgpu::training::{Defense, Method};
use std::path::Path;

/// Moves images towards grey until they are epsilon away.
static FADE: Attack = Attack {
    name: "fade",
    title: "Fade",
    about: "Fades images to grey",
    goal: Goal::Ball,
    norms: &[Norm::L2],
    usual: &[],
    options: &["epsilon", "norm"],
    classes: 2,
    aims: None,
    defaults: |_| {},
    passes: |_, _| 0.0,
    remedy: |_| "nothing".to_string(),
    run: Run::Steps(|options, _| Box::new(Fade(options.clone()))),
};

struct Fade(AttackOptions);

impl Steps for Fade {
    fn iterations(&self) -> usize {
        1
    }

    fn start(&self, _: &mut Graph, victim: Victim, _: Start) -> Result<Vec<Tensor>, GraphError> {
        Ok(vec![victim.images])
    }

    fn step(
        &self,
        graph: &mut Graph,
        victim: Victim,
        kept: &[Tensor],
        _: &[Tensor],
    ) -> Result<Vec<Tensor>, GraphError> {
        let grey = graph.affine(kept[0], 0.0, 0.5);
        let epsilon = graph.constant(self.0.epsilon, &[1])?;
        Ok(vec![ball::project(graph, victim.images, grey, epsilon, self.0.norm)?])
    }
}

/// Learns from faded images.
static FADED: Defense = Defense {
    name: "faded",
    title: "faded",
    about: "Against images that fade to grey",
    inner: Inner::Fixed(AttackKind::of(&FADE)),
    generator: false,
    strength: None,
    options: &[],
    paper: |_| {},
    awp: 0.01,
    kept: |_, _| Vec::new(),
    phases: |_| vec![Phase::Classifier],
    phase: learn_from_faded_images,
};

fn learn_from_faded_images(graph: &mut Graph, stage: &Stage) -> Result<(), GraphError> {
    let faded = stage.adversarial(graph)?.expect("the defense has an inner attack");
    let learned = stage.descend(graph, |graph, classifier| {
        let logits = classifier.logits(graph, faded)?;
        let loss = graph.cross_entropy(logits, stage.batch.labels)?;
        Ok(Objective { terms: vec![(loss, stage.batch.weights)], logits, loss })
    })?;
    stage.report(graph, &learned, Some(faded))
}

/// Runs a command line.
fn command(line: &str) {
    let program = program();
    let run = || -> crate::commands::CommandResult {
        let matches = program.clone().try_get_matches_from(line.split_whitespace())?;
        crate::commands::effects::check(&program, &matches)?;
        dispatch(Cli::from_arg_matches(&matches)?.command, program.clone())
    };
    run().unwrap_or_else(|error| panic!("{line}: {error}"));
}

fn help(of: &str) -> String {
    let program = program();
    program.find_subcommand(of).unwrap().clone().render_long_help().to_string()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn a_new_attack_and_a_new_defense_are_everywhere() {
    let fade = attacks::register(&FADE).unwrap();
    let faded = defenses::register(&FADED).unwrap();
    assert!(AttackKind::all().contains(&fade) && Method::all().contains(&faded));
    for of in ["attack", "evaluate"] {
        assert!(help(of).contains("Fades images to grey"), "{}", help(of));
    }
    assert!(help("train").contains("Against images that fade to grey"));

    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let sweep = at("sweep.toml");
    std::fs::write(
        &sweep,
        "adapter = \"cpu\"\nwidth = 0.0625\nmax-steps = 2\n[grid]\nmethod = [\"faded\"]\nepsilon = [0.25]\n",
    )
    .unwrap();
    command(&format!("pgn-wgpu sweep {} --out {}", sweep.display(), at("runs").display()));
    let run = at("runs").join("faded-epsilon0.25");
    let run = run.display();
    assert!(text(Path::new(&format!("{run}/config.toml"))).contains("method = \"faded\""));
    let csv = at("attacked.csv");
    command(&format!(
        "pgn-wgpu attack --adapter cpu --model {run} --attack fade --limit 20 --csv {}",
        csv.display()
    ));
    assert_eq!(text(&csv).matches("fade,L2,0.5").count(), 20);
    command(&format!("pgn-wgpu evaluate --adapter cpu {run} --attack fade,fgm --limit 20"));
    assert!(
        text(Path::new(&format!("{run}/evaluation.json"))).contains("accuracy under Fade, L2 epsilon 0.5")
    );
    let page = at("page");
    command(&format!("pgn-wgpu report {run} --out {}", page.display()));
    let page = std::fs::read_dir(&page).unwrap().filter_map(Result::ok).map(|entry| entry.path());
    let html = page.filter(|path| path.extension().is_some_and(|e| e == "html")).map(|path| text(&path));
    let html: String = html.collect();
    assert!(
        html.contains("faded training on") && html.contains("accuracy under Fade"),
        "no Fade on the page"
    );
    // Any defense with an attack of its choice takes it too.
    let out = at("against");
    command(&format!(
        "pgn-wgpu train --adapter cpu --width 0.0625 --max-steps 1 --defense adversarial --inner fade --epsilon 0.5 --out {}",
        out.display()
    ));
    assert!(text(&out.join("config.toml")).contains("inner = \"fade\""));
}
