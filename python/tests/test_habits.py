"""The classes with the calls of torchattacks and AutoAttack; with PyTorch's tensors where it is installed."""

import numpy as np
import pgn_wgpu
import pytest
from pgn_wgpu import torchattacks

#: Arguments that make an attack quick.
QUICK = {"Square": {"n_queries": 30}, "CW": {"steps": 10}}
#: Largest perturbation of the defaults.
RADII = {"FGSM": 8 / 255, "BIM": 8 / 255, "PGD": 8 / 255, "MIFGSM": 8 / 255, "APGD": 8 / 255, "APGDT": 8 / 255, "Square": 8 / 255}


@pytest.mark.parametrize("name", torchattacks.__all__)
def test_every_attack_of_the_habit_runs_with_its_defaults(model, digits, name):
    images, labels = digits
    attack = getattr(torchattacks, name)(model, **QUICK.get(name, {}))
    adversarial = attack(images, labels)
    assert adversarial.shape == images.shape and adversarial.dtype == np.float32
    assert 0 <= adversarial.min() and adversarial.max() <= 1 and (adversarial != images).any()
    if name in RADII:
        assert np.abs(adversarial - images).max() <= RADII[name] + 1e-6
    right = model(images).argmax(1) == labels
    assert (adversarial[~right] == images[~right]).all()


def test_an_attack_of_the_habit_is_the_attack_of_the_model(model, digits):
    attack = torchattacks.PGD(model, eps=0.1, alpha=0.02, steps=7, random_start=False)
    own = model.attack(*digits, "pgd", norm="linf", eps=0.1, step_size=0.02, iterations=7)
    assert (attack(*digits) == own.images).all()
    l2 = torchattacks.PGDL2(model)
    own = model.attack(*digits, "pgd", norm="l2", eps=1.0, step_size=0.2, iterations=10, random_start=True)
    assert (l2(*digits) == own.images).all()


def test_calls_of_pgd_draw_anew_and_a_seed_repeats_them(model, digits):
    for kind in (torchattacks.PGD, torchattacks.PGDL2):
        attack = kind(model, seed=3)
        first, second = attack(*digits), attack(*digits)
        assert (first != second).any()
        assert (kind(model, seed=3)(*digits) == first).all() and (kind(model, seed=4)(*digits) == second).all()


def test_autoattack_is_the_full_verdict(model, digits, capsys):
    images, labels = (part[:40] for part in digits)
    adversary = pgn_wgpu.AutoAttack(model, norm="Linf", eps=0.05)
    adversarial, answers = adversary.run_standard_evaluation(images, labels, bs=20, return_labels=True)
    verdict = model.verdict(images, labels, norm="linf", eps=0.05, version="full")
    assert (adversarial == verdict.images).all() and (answers == model(adversarial).argmax(1)).all()
    assert [attack["name"] for attack in verdict.attacks] == ["apgd-ce", "apgd-t", "fab-t", "square"]
    assert ((answers == labels) == verdict.robust).all()
    assert f"robust accuracy: {verdict.robust_accuracy:.2%}" in capsys.readouterr().out


def test_what_a_habit_cannot_take_is_refused(model):
    with pytest.raises(TypeError, match="torch.onnx.export"):
        torchattacks.PGD(lambda images: images)
    with pytest.raises(ValueError, match="L1.*L2, Linf"):
        pgn_wgpu.AutoAttack(model, norm="L1")
    with pytest.raises(ValueError, match="rand"):
        pgn_wgpu.AutoAttack(model, version="rand")
    # The fourth parameter of the public code is the seed.
    with pytest.raises(TypeError, match="positional"):
        pgn_wgpu.AutoAttack(model, "Linf", 0.05, 0)
    with pytest.raises(ValueError, match="margin.*ce, dlr"):
        torchattacks.APGD(model, loss="margin")


def test_tensors_come_back_as_tensors(model, digits):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    images, labels = (torch.from_numpy(part) for part in digits)
    with_gradient = images.clone().requires_grad_()
    assert (model(with_gradient) == model(digits[0])).all()
    adversarial = torchattacks.FGSM(model)(with_gradient, labels)
    assert isinstance(adversarial, torch.Tensor) and adversarial.device == images.device
    assert (adversarial.numpy() == torchattacks.FGSM(model)(*digits)).all()
    adversary = pgn_wgpu.AutoAttack(model, eps=0.05, verbose=False)
    few, answers = adversary.run_standard_evaluation(images[:10], labels[:10], bs=10, return_labels=True)
    assert isinstance(few, torch.Tensor) and isinstance(answers, torch.Tensor) and answers.dtype == torch.int64
    with pytest.raises(TypeError, match="float64"):
        model(images.double())
    with pytest.raises(TypeError, match="bfloat16|cannot be read"):
        model(images.bfloat16())
    last = images.permute(0, 2, 3, 1)
    with pytest.raises(ValueError, match="NHWC"):
        model(last)
