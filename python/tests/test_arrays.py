"""Arrays of every kind are taken, and wrong ones are refused in one sentence that says what is wrong and what to do."""

import numpy as np
import pytest


class Offers:
    """Has nothing but ``__array__``."""

    def __init__(self, array):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        return self._array


class Lends:
    """Has nothing but DLPack, on a device of this number."""

    def __init__(self, array, device=1):
        self._array, self._device = array, device

    def __dlpack_device__(self):
        return (self._device, 0)

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)


def test_arrays_of_other_packages_are_taken(model, digits):
    images, labels = digits
    logits = model(images)
    assert (model(Offers(images)) == logits).all()
    assert (model(Lends(images.copy())) == logits).all()
    assert model.attack(images, Offers(labels), "fgm").success.any()


@pytest.mark.parametrize("device", [3, 11], ids=["cuda", "rocm"])
def test_memory_that_is_pinned_for_a_gpu_is_read(model, digits, device):
    images, _ = digits
    assert (model(Lends(images.copy(), device)) == model(images)).all()


def test_arrays_that_are_not_contiguous_are_copied(model, digits):
    images, labels = digits
    logits = model(images)
    assert (model(images[::2]) == logits[::2]).all()
    whole, half = (model.attack(images, labels, "pgd"), model.attack(images[::2], labels[::2], "pgd"))
    assert (whole.images[::2] == half.images).all()


def test_arrays_that_are_not_aligned_are_copied(model, digits):
    images, labels = digits
    unaligned = []
    for array in (images, labels):
        memory = np.zeros(array.nbytes + 1, "uint8")
        own = memory[1:].view(array.dtype).reshape(array.shape)
        own[...] = array
        assert not own.flags.aligned
        unaligned.append(own)
    assert (model(unaligned[0]) == model(images)).all()
    assert (model.attack(*unaligned, "fgm").images == model.attack(images, labels, "fgm").images).all()


def test_no_images_are_no_mistake_but_for_a_verdict(model, digits):
    none = digits[0][:0]
    assert model(none).shape == (0, 10)
    assert model.input_gradients(none, digits[1][:0]).shape == (0, 1, 8, 8)
    assert model.attack(none, digits[1][:0], "pgd").images.shape == (0, 1, 8, 8)
    with pytest.raises(ValueError, match="there are no images to judge"):
        model.verdict(none, digits[1][:0])


def refused(call, kind, *parts):
    with pytest.raises(kind) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text and all(part in text for part in parts), text


def test_images_of_another_type_are_refused_by_its_name(model, digits):
    images, _ = digits
    refused(lambda: model(images.astype("float64")), TypeError, "float64", "float32")
    refused(lambda: model((images * 255).astype("uint8")), TypeError, "uint8", "/ 255")
    refused(lambda: model(images.astype(">f4")), TypeError, ">f4")
    refused(lambda: model(images.tolist()), TypeError, "images are a list")
    refused(lambda: model(None), TypeError, "NoneType")
    for device in (2, 10, 13):
        refused(lambda device=device: model(Lends(images, device)), TypeError, "memory of the CPU")


def test_images_of_another_layout_or_shape_are_refused_with_both(model, digits):
    images, _ = digits
    refused(lambda: model(images.transpose(0, 2, 3, 1)), ValueError, "(400, 8, 8, 1)", "NHWC", "(n, 1, 8, 8)")
    refused(lambda: model(images[0]), ValueError, "one image", "images[None]")
    refused(lambda: model(images[:, :, :7]), ValueError, "(400, 1, 7, 8)", "(n, 1, 8, 8)")
    refused(lambda: model(images[:, 0]), ValueError, "(400, 8, 8)")
    refused(lambda: model(np.float32(0.5)[None]), ValueError, "(1,)")


def test_pixels_outside_of_0_to_1_and_nan_are_refused(model, digits):
    images, _ = digits
    for value, part in [(np.nan, "nan in image 7"), (np.inf, "inf in image 7")]:
        broken = images.copy()
        broken[7, 0, 3, 3] = value
        refused(lambda broken=broken: model(broken), ValueError, part, "[0, 1]")
    refused(lambda: model(images * 255), ValueError, "0 to 255", "divide them by 255")
    refused(lambda: model(images - 0.5), ValueError, "-0.5 to 0.5", "normalises")


def test_labels_of_another_type_number_or_range_are_refused(model, digits):
    images, labels = digits
    attack = lambda labels: lambda: model.attack(images, labels, "fgm")
    refused(attack(labels.astype("float32")), TypeError, "labels are float32", "int64")
    refused(attack(labels > 3), TypeError, "bool")
    refused(attack(labels[:-1]), ValueError, "399 labels for 400 images")
    refused(attack(np.eye(10, dtype=int)[labels]), ValueError, "(400, 10)", "argmax")
    refused(attack(labels + 1), ValueError, "label 10 of image", "0 to 9")
    refused(attack(labels - 1), ValueError, "label -1")
    assert model.attack(images, labels.astype("uint8"), "fgm").success.any()


def test_masked_arrays_are_refused_whatever_is_under_the_mask(model, digits):
    images, labels = digits
    hidden = np.ma.array(images.copy(), mask=np.zeros(images.shape, bool))
    hidden[0, 0, 0, 0] = np.ma.masked
    hidden.data[0, 0, 0, 0] = np.nan
    refused(lambda: model(hidden), TypeError, "images are a masked array", "images.filled(...)")
    for mask in (False, [False] * 399 + [True]):
        masked = np.ma.array(labels, mask=mask)
        refused(lambda masked=masked: model.attack(images, masked, "fgm"), TypeError, "labels are a masked array")


def test_what_is_wrong_with_options_is_said_with_their_names_in_python(model, digits):
    attack = lambda *names, **options: lambda: model.attack(*digits, *names, **options)
    refused(attack("fgm", iterations=5), ValueError, "iterations has no effect with attack fgm")
    refused(attack("pgdd"), ValueError, "pgdd", "pgd")
    refused(attack("pgd", iteratons=5), ValueError, "no option iteratons", "iterations")
    refused(attack("pgd", epsilon=5), ValueError, "eps")
    refused(attack("pgd", eps=50), ValueError, "eps 50 is not possible", "50/255")
    refused(attack("pgd", random_start="very"), ValueError, "random_start very", "True or False")
    refused(attack("pgd", sheet="a.png"), ValueError, "no option sheet")
    refused(attack("deepfool", norm="linf"), ValueError, "norm")
    refused(attack("pgn"), ValueError, "no generator")
    refused(attack("pgd,fgm"), ValueError, "one at a time")
    refused(attack("pgd", step_size=object()), TypeError, "step_size is a object")
    refused(lambda: model.verdict(*digits, norm="l1"), ValueError, "l1", "l2, linf")
    refused(lambda: model.verdict(*digits, eps=0), Exception, "eps 0 is not possible")
    refused(lambda: model.verdict(*digits, version="best"), ValueError, "best", "quick, full, smallest")
    refused(lambda: model.verdict(*digits, batch_size=0), ValueError, "batch_size 0")


@pytest.mark.parametrize("eps", ["8/", "/255", "8/0", "1/2/3", "eight", "nan", "", True])
def test_no_other_text_is_a_radius_of_an_attack_or_a_verdict(model, digits, eps):
    refused(lambda: model.attack(*digits, "fgm", eps=eps), ValueError, "eps", "0.5", "8/255")
    refused(lambda: model.verdict(*digits, eps=eps), ValueError, "eps", "0.5", "8/255")


def test_a_radius_is_a_number_or_a_fraction(model, digits):
    images, labels = (part[:20] for part in digits)
    for eps in ["8/255", " 8 / 255 ", 8 / 255, np.float32(8 / 255)]:
        attack = model.attack(images, labels, "fgm", norm="linf", eps=eps)
        verdict = model.verdict(images, labels, norm="linf", eps=eps)
        assert np.float32(attack.options["eps"]) == np.float32(verdict.report["epsilon"]) == np.float32(8 / 255)
    refused(lambda: model.attack(images, labels, "fgm", eps=object()), TypeError, "eps is a object")
    refused(lambda: model.verdict(images, labels, eps=object()), TypeError, "eps is a object")


def test_gradients_raise_the_loss(model, digits):
    images, labels = digits

    def loss(images):
        logits = model(images).astype("float64")
        logits -= logits.max(1, keepdims=True)
        return np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels]

    # A pixel of 0.5 moves both ways.
    inner = np.clip(images, 0.25, 0.75)
    gradients, step = model.input_gradients(inner, labels), np.float32(2.5e-4)
    rise = (loss(inner + step * np.sign(gradients)) - loss(inner - step * np.sign(gradients))) / (2 * step)
    expected = np.abs(gradients).sum((1, 2, 3))
    # A step that crosses a kink of the network ends elsewhere; most cross none.
    assert np.median(np.abs(rise / expected - 1)) < 0.003
