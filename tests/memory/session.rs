//! What a session takes from the host and gives back: inputs by name, and the buffers that outputs pass through.

use super::common::{devices, named, session};
use pgn_wgpu::executor::{ExecutionError, Session};
use pgn_wgpu::graph::{Graph, Unary};

/// `y = x²`, beside an input that nothing depends on.
fn squares() -> Graph {
    let mut graph = Graph::new();
    let x = graph.input("x", &[3]).unwrap();
    graph.input("unused", &[2]).unwrap();
    let y = graph.unary(Unary::Square, x);
    graph.output("y", y);
    graph
}

#[test]
fn an_input_that_the_graph_never_had_is_an_error_and_one_that_was_dropped_is_not() {
    for (name, device) in devices() {
        let (_workspace, mut session) =
            session(&device, &squares(), &vec![named("x", vec![1.0, 2.0, 3.0])], &vec![]);
        let refused = session.write("X", &[0.0; 3]).unwrap_err();
        assert!(matches!(refused, ExecutionError::Unknown { kind: "input", .. }), "{name}: {refused}");
        assert!(refused.to_string().contains("no input named X"), "{name}: {refused}");
        session.write("unused", &[7.0; 2]).unwrap();
        for (input, length) in [("x", 2), ("unused", 3)] {
            let refused = session.write(input, &vec![0.0; length]).unwrap_err();
            let expected = format!("{input} has {} values, not {length}", 5 - length);
            assert_eq!(refused.to_string(), expected, "{name}");
        }
        assert_eq!(session.compute().unwrap().get("y"), [1.0, 4.0, 9.0], "{name}");
    }
}

#[test]
fn runs_that_are_dropped_give_their_staging_buffers_back() {
    for (name, device) in devices() {
        let (_workspace, mut session) = session(&device, &squares(), &vec![], &vec![]);
        let run = |session: &mut Session, x: f32| {
            session.write("x", &[x; 3]).unwrap();
            session.run().unwrap()
        };
        for i in 0..100 {
            drop(run(&mut session, i as f32));
        }
        // Results are not mixed up by buffers that come back while the device still fills them.
        let kept: Vec<_> = (0..3).map(|i| run(&mut session, i as f32)).collect();
        drop(run(&mut session, 9.0));
        for (i, run) in kept.into_iter().enumerate() {
            let expected = [(i * i) as f32; 3];
            assert_eq!(session.finish(run).unwrap().get("y"), expected, "{name}");
        }
        if let Session::Gpu(session) = &session {
            assert_eq!(
                session.idle_staging(),
                4,
                "{name}: as many as runs were kept at once, and the one dropped"
            );
        }
    }
}
