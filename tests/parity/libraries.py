"""The attacks of Foolbox, torchattacks and CleverHans, set up as close to ours as each library can be.

Each entry says what its algorithm does differently; `same` marks those that compute ours step by step, whose images
may then be compared pixel by pixel. Labels are the true ones; the model is a PyTorch module on [0, 1] pixels.
"""

from dataclasses import dataclass
from typing import Callable

import eagerpy as ep
import foolbox
import torchattacks
from cleverhans.torch.attacks.carlini_wagner_l2 import carlini_wagner_l2
from cleverhans.torch.attacks.fast_gradient_method import fast_gradient_method
from cleverhans.torch.attacks.projected_gradient_descent import projected_gradient_descent
from foolbox.attacks.mi_fgsm import L2MomentumIterativeFastGradientMethod

PGD_STEPS = 10
PGD_STEP_SHARE = 2.5  # step size = 2.5 * epsilon / steps
MIM_STEPS, MIM_STEP_SIZE, MIM_DECAY = 100, 0.06, 1.0
DEEPFOOL_STEPS, DEEPFOOL_OVERSHOOT, DEEPFOOL_CANDIDATES = 100, 0.02, 10
CW_SEARCH_STEPS, CW_STEPS, CW_LEARNING_RATE, CW_INITIAL_C = 5, 100, 5e-3, 1e-2


class MeanAbsoluteMim(L2MomentumIterativeFastGradientMethod):
    """Foolbox's loop with the gradient divided by its mean absolute value, as ours, instead of its L2 norm."""

    def normalize(self, gradients, *, x, bounds):
        means = ep.maximum(gradients.abs().mean(axis=(1, 2, 3), keepdims=True), 1e-30)
        return gradients / means


@dataclass
class LibraryAttack:
    """One library's version of one of our attacks."""

    attack: str
    library: str
    run: Callable  # (model, images, labels, epsilon) -> adversarial images
    same: bool
    note: str


def with_foolbox(attack):
    """A Foolbox attack as a function; `epsilon` reaches the fixed-radius ones only."""

    def run(model, images, labels, epsilon):
        bounded = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
        fixed = isinstance(attack, foolbox.attacks.base.FixedEpsilonAttack)
        options = {"epsilon": epsilon} if fixed else {}
        return attack.run(bounded, images, foolbox.criteria.Misclassification(labels), **options)

    return run


def with_torchattacks(make):
    return lambda model, images, labels, epsilon: make(model, epsilon)(images, labels)


def foolbox_pgd(model, images, labels, epsilon):
    attack = foolbox.attacks.L2ProjectedGradientDescentAttack(
        abs_stepsize=PGD_STEP_SHARE * epsilon / PGD_STEPS, steps=PGD_STEPS, random_start=False)
    return with_foolbox(attack)(model, images, labels, epsilon)


def torchattacks_pgd(model, epsilon):
    step = PGD_STEP_SHARE * epsilon / PGD_STEPS
    return torchattacks.PGDL2(model, eps=epsilon, alpha=step, steps=PGD_STEPS, random_start=False)


def cleverhans_fgm(model, images, labels, epsilon):
    return fast_gradient_method(model, images, epsilon, 2, clip_min=0, clip_max=1, y=labels)


def cleverhans_pgd(model, images, labels, epsilon):
    step = PGD_STEP_SHARE * epsilon / PGD_STEPS
    return projected_gradient_descent(model, images, epsilon, step, PGD_STEPS, 2, clip_min=0, clip_max=1,
                                      y=labels, rand_init=False)


def cleverhans_cw(model, images, labels, _epsilon):
    classes = model(images[:1]).shape[1]
    return carlini_wagner_l2(model, images, classes, y=labels, lr=CW_LEARNING_RATE, initial_const=CW_INITIAL_C,
                             binary_search_steps=CW_SEARCH_STEPS, max_iterations=CW_STEPS)


def foolbox_cw(search_steps, steps, rate, abort_early):
    return with_foolbox(foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=search_steps, steps=steps, stepsize=rate, initial_const=CW_INITIAL_C,
        abort_early=abort_early))


MIM_SETTINGS = {"momentum": MIM_DECAY, "abs_stepsize": MIM_STEP_SIZE, "steps": MIM_STEPS, "random_start": False}

LIBRARY_ATTACKS = [
    LibraryAttack("fgm", "Foolbox", with_foolbox(foolbox.attacks.L2FastGradientAttack()), True,
                  "plain cross-entropy"),
    LibraryAttack("fgm", "CleverHans", cleverhans_fgm, True,
                  "plain cross-entropy, floor 1e-6 on the gradient of the batch mean"),
    LibraryAttack("pgd", "Foolbox", foolbox_pgd, True, "plain cross-entropy"),
    LibraryAttack("pgd", "torchattacks", with_torchattacks(torchattacks_pgd), True, "plain cross-entropy"),
    LibraryAttack("pgd", "CleverHans", cleverhans_pgd, False, "clips to the box before it projects, too"),
    LibraryAttack("mim", "Foolbox, mean abs", with_foolbox(MeanAbsoluteMim(**MIM_SETTINGS)), True,
                  "its loop, the gradient's scaling replaced by ours"),
    LibraryAttack("mim", "Foolbox", with_foolbox(L2MomentumIterativeFastGradientMethod(**MIM_SETTINGS)), False,
                  "divides the gradient by its L2 norm before the momentum"),
    LibraryAttack("deepfool", "Foolbox", with_foolbox(foolbox.attacks.L2DeepFoolAttack(
        steps=DEEPFOOL_STEPS, candidates=DEEPFOOL_CANDIDATES, overshoot=DEEPFOOL_OVERSHOOT)), False,
        "overshoot inside the loop, adds 1e-4 to distances, candidates fixed at the start"),
    LibraryAttack("deepfool", "torchattacks", with_torchattacks(lambda model, _: torchattacks.DeepFool(
        model, steps=DEEPFOOL_STEPS, overshoot=DEEPFOOL_OVERSHOOT)), False,
        "overshoots and clips every step, does not accumulate"),
    LibraryAttack("cw", "Foolbox", foolbox_cw(CW_SEARCH_STEPS, CW_STEPS, CW_LEARNING_RATE, False), False,
                  "early abort off; the same search otherwise"),
    LibraryAttack("cw", "Foolbox, abort", foolbox_cw(CW_SEARCH_STEPS, CW_STEPS, CW_LEARNING_RATE, True), False,
                  "early abort on the sum over the batch"),
    LibraryAttack("cw", "CleverHans", cleverhans_cw, False, "Adam and its variable go on from one search step to the next"),
    LibraryAttack("cw", "torchattacks", with_torchattacks(lambda model, _: torchattacks.CW(
        model, c=1, steps=CW_SEARCH_STEPS * CW_STEPS, lr=CW_LEARNING_RATE)), False,
        "no search: c = 1 for all the iterations"),
]

# Far more iterations than ours: how far the budget is from converged.
CONVERGED_CW = LibraryAttack("cw", "Foolbox, 9 x 1000", foolbox_cw(9, 1000, 1e-2, False), False,
                             "learning rate 1e-2, early abort off")
