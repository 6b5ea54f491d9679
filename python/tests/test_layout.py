"""Channels, height and width stay what they are on the way in and out: coloured images that are not square, beside the same network
in NumPy."""

import numpy as np
import pytest

#: A change of a pixel that no kink of the network is likely to be within.
STEP = 1e-6


def loss(logits, labels):
    """The cross-entropy of each row."""
    return np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels]


@pytest.fixture(scope="module")
def images(coloured):
    return coloured.images


@pytest.fixture(scope="module")
def labels(coloured):
    """The model's own answers, so that attacks leave no image out."""
    return coloured.logits(coloured.images).argmax(1)


@pytest.fixture(scope="module")
def gradients(coloured, images, labels):
    """By differences, a pixel at a time."""

    def of_image(image, label):
        steps = (STEP * np.eye(image.size)).reshape(-1, *image.shape)
        own = np.full(len(steps), label)
        rise = loss(coloured.logits(image + steps), own) - loss(coloured.logits(image - steps), own)
        return (rise / (2 * STEP)).reshape(image.shape)

    return np.stack([of_image(image.astype("float64"), label) for image, label in zip(images, labels)])


def test_the_shape_is_channels_height_and_width(coloured, coloured_model):
    assert coloured_model.shape == coloured.shape == (3, 8, 12) and coloured_model.classes == 5


def test_logits_are_those_of_numpy(coloured, coloured_model, images):
    logits = coloured.logits(images)
    assert logits.std(0).min() > 1e-3, "the images differ"
    assert coloured_model(images) == pytest.approx(logits, rel=0, abs=1e-5)


def test_gradients_are_those_of_numpy_pixel_by_pixel(coloured_model, images, labels, gradients):
    found = coloured_model.input_gradients(images, labels)
    assert found.shape == images.shape and np.abs(gradients).max() > 1e-3
    assert found == pytest.approx(gradients, rel=0, abs=1e-6)


def test_attacked_images_are_the_given_ones_moved_by_their_own_gradient(coloured_model, images, labels, gradients):
    epsilon = np.float32(0.01)
    moved = coloured_model.attack(images, labels, "fgm", norm="linf", eps=float(epsilon)).images
    expected = np.clip(images + epsilon * np.sign(gradients), 0, 1)
    clear = np.abs(gradients) > 1e-6
    assert moved.shape == images.shape and clear.mean() > 0.9
    assert moved[clear] == pytest.approx(expected[clear], rel=0, abs=1e-6)
    assert np.abs(moved - images).max() <= epsilon + 1e-6


def test_what_an_attack_or_a_verdict_does_not_move_comes_back_untouched(coloured_model, images, labels):
    wrong = (labels + 1) % 5
    assert (coloured_model.attack(images, wrong, "pgd").images == images).all()
    verdict = coloured_model.verdict(images, labels, norm="linf", eps=1e-6)
    assert verdict.robust.all() and (verdict.images == images).all()
    nearly = coloured_model.attack(images, labels, "pgd", norm="linf", eps=1e-6).images
    assert (nearly != images).any() and np.abs(nearly - images).max() <= 1.1e-6


def stored(images, axes):
    """The same images with their axes in another order in memory."""
    return np.ascontiguousarray(images.transpose(axes)).transpose(np.argsort(axes))


VIEWS = {
    "channels last in memory": lambda images: stored(images, (0, 2, 3, 1)),
    "width before height in memory": lambda images: stored(images, (0, 1, 3, 2)),
    "column by column": np.asfortranarray,
    "upside down": lambda images: images[:, :, ::-1],
    "backwards in all": lambda images: images[::-1, ::-1, ::-1, ::-1],
    "every second": lambda images: np.repeat(images, 2, axis=3)[::2, :, :, ::2],
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_arrays_in_another_order_of_memory_give_the_bits_of_their_copies(coloured_model, images, labels, view):
    given, labels = view(images), labels[: len(view(images))]
    copy = given.copy(order="C")
    assert not given.flags.c_contiguous and given.shape[1:] == copy.shape[1:] == (3, 8, 12)
    assert (coloured_model(given) == coloured_model(copy)).all()
    attack = lambda images: coloured_model.attack(images, labels, "pgd", eps=0.1).images
    assert (attack(given) == attack(copy)).all()


def test_the_command_reads_and_writes_the_same_arrays(coloured, coloured_model, images, labels, command, tmp_path):
    np.save(tmp_path / "images.npy", images)
    files = ["--images", tmp_path / "images.npy", "--save", tmp_path / "logits.npy"]
    done = command("predict", coloured.file, "--adapter", "cpu", *files)
    assert done.returncode == 0, done.stderr
    assert (coloured_model(images) == np.load(tmp_path / "logits.npy")).all()


def test_images_with_their_extents_exchanged_are_refused(coloured_model, images):
    for axes, part in [((0, 2, 3, 1), "NHWC"), ((0, 1, 3, 2), "(6, 3, 12, 8)"), ((0, 3, 2, 1), "(6, 12, 8, 3)")]:
        with pytest.raises(ValueError) as caught:
            coloured_model(images.transpose(axes))
        assert part in str(caught.value) and "(n, 3, 8, 12)" in str(caught.value)
