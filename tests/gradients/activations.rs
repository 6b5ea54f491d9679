//! Activations and normalisations: values, gradients, and gradients of gradients.

use crate::check::{Built, Operand, check, computed, wanted};
use pgn_wgpu::graph::{Graph, GraphError, Tensor, Unary};

type Activation = fn(&mut Graph, Tensor) -> Result<Tensor, GraphError>;

const ACTIVATIONS: [(&str, Activation); 10] = [
    ("relu", |g, x| Ok(g.relu(x))),
    ("silu", Graph::silu),
    ("gelu", Graph::gelu),
    ("gelu_tanh", Graph::gelu_tanh),
    ("elu", |g, x| g.elu(x, 0.75)),
    ("hard_sigmoid", |g, x| Ok(g.hard_sigmoid(x, 1.0 / 6.0, 0.5))),
    ("hard_swish", Graph::hard_swish),
    ("erf", |g, x| Ok(g.unary(Unary::Erf, x))),
    ("softplus", |g, x| Ok(g.unary(Unary::Softplus, x))),
    ("cube", |g, x| Ok(g.power(x, 3.0))),
];

/// Not near 0 or ±3, where some have kinks.
fn operand() -> Operand {
    wanted(1, &[2, 6]).map(|v| if v.abs() < 0.25 { v.signum() } else { v.clamp(-2.0, 2.0) }).step(1.0 / 64.0)
}

#[test]
fn gradients_of_activations() {
    for (name, activation) in ACTIVATIONS {
        check(name, &[operand()], |g, t| activation(g, t[0]));
    }
    for a in [-1.5, 0.5, 1.0, 2.0, 2.3] {
        let positive = wanted(2, &[2, 5]).map(|v| v.abs() + 1.5);
        check(&format!("power {a}"), &[positive], |g, t| Ok(g.power(t[0], a)));
    }
}

#[test]
fn gradients_of_gradients_of_activations() {
    for (name, activation) in ACTIVATIONS {
        check(&format!("gradient of {name}"), &[operand(), wanted(3, &[2, 6])], |g, t| {
            let y = activation(g, t[0])?;
            Ok(g.gradient(y, t[1], &[t[0]])?[0])
        });
    }
}

/// Values of PyTorch 2's functions of the same names, to six digits.
#[test]
fn activations_are_those_of_pytorch() {
    let x = [-4.0, -1.0, 0.0, 0.5, 2.0, 30.0];
    let expected: [(&str, [f32; 6]); 8] = [
        ("relu", [0.0, 0.0, 0.0, 0.5, 2.0, 30.0]),
        ("silu", [-0.071_944_8, -0.268_941, 0.0, 0.311_230, 1.761_594, 30.0]),
        ("gelu", [-0.000_126_7, -0.158_655, 0.0, 0.345_731, 1.954_5, 30.0]),
        ("gelu_tanh", [-0.000_070_2, -0.158_808, 0.0, 0.345_714, 1.954_598, 30.0]),
        ("elu", [-0.736_263, -0.474_090, 0.0, 0.5, 2.0, 30.0]),
        ("hard_sigmoid", [0.0, 0.333_333, 0.5, 0.583_333, 0.833_333, 1.0]),
        ("hard_swish", [0.0, -0.333_333, 0.0, 0.291_667, 1.666_667, 30.0]),
        ("softplus", [0.018_149_9, 0.313_262, std::f32::consts::LN_2, 0.974_077, 2.126_928, 30.0]),
    ];
    for (name, expected) in expected {
        let activation = ACTIVATIONS.iter().find(|a| a.0 == name).unwrap().1;
        let own = computed(&[6], &x, activation);
        let near = own.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs().max(1.0));
        assert!(near, "{name}: {own:?}, but {expected:?}");
    }
}

#[test]
fn a_softplus_of_a_very_negative_number_keeps_its_digits() {
    let own = computed(&[2], &[-20.0, -60.0], |g, x| Ok(g.unary(Unary::Softplus, x)));
    for (own, expected) in own.iter().zip([(-20f32).exp(), (-60f32).exp()]) {
        assert!((own - expected).abs() <= 1e-6 * expected, "{own:e}, but {expected:e}");
    }
}

#[test]
fn the_logarithm_of_a_softmax() {
    check("log_softmax", &[wanted(1, &[3, 4])], |g, t| g.log_softmax(t[0]));
    check("gradient of log_softmax", &[wanted(1, &[3, 4]), wanted(2, &[3, 4])], |g, t| {
        let y = g.log_softmax(t[0])?;
        Ok(g.gradient(y, t[1], &[t[0]])?[0])
    });
    let far = computed(&[2, 3], &[1e4, 0.0, 0.0, -1e30, -1e30, -1e30], Graph::log_softmax);
    let third = -(3f32.ln());
    assert_eq!(far, [0.0, -1e4, -1e4, third, third, third]);
}

#[test]
fn layer_normalisation() {
    let operands = || {
        [
            wanted(1, &[2, 3, 2, 2]).step(1.0 / 64.0),
            wanted(2, &[2, 2]).step(1.0 / 64.0),
            wanted(3, &[2, 2]).step(1.0 / 64.0),
        ]
    };
    let norm = |g: &mut Graph, t: &[Tensor]| g.layer_norm(t[0], t[1], t[2], 0.5);
    check("layer norm", &operands(), norm);
    check("gradient of layer norm", &operands()[..2], |g, t| {
        let shift = g.constant(0.0, &[2, 2])?;
        let y = norm(g, &[t[0], t[1], shift])?;
        let square = g.unary(Unary::Square, y);
        let one = g.constant(1.0, &[1])?;
        Ok(Built::from(g.gradient(square, one, &[t[0]])?[0]))
    });
    let own = computed(&[2, 2, 2], &[1.0, 3.0, 5.0, 7.0, 2.0, 2.0, 2.0, 2.0], |g, x| {
        let [scale, shift] = [g.constant(2.0, &[2, 2])?, g.constant(1.0, &[2, 2])?];
        g.layer_norm(x, scale, shift, 1e-5)
    });
    // Mean 4, variance 5; then a row without variance.
    let each = 2.0 / 5f32.sqrt();
    let expected = [1.0 - 3.0 * each, 1.0 - each, 1.0 + each, 1.0 + 3.0 * each, 1.0, 1.0, 1.0, 1.0];
    assert!(own.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{own:?}");
    let mut graph = Graph::new();
    let [x, wrong] = [&[2, 3, 4][..], &[3]].map(|e| graph.input(&format!("{e:?}"), e).unwrap());
    let error = graph.layer_norm(x, wrong, wrong, 1e-5).unwrap_err().to_string();
    assert!(error.contains("[2, 3, 4]") && error.contains("[3]"), "{error}");
}
