import numpy as np

from pi0_tools.train.object_places import FEWEST_PIXELS, places


def picture(columns, rows, colour=(255, 40, 40)):
    image = np.full((100, 200, 3), 80, np.uint8)
    image[rows, columns] = colour
    return image


def test_the_place_is_the_middle_of_what_is_red_from_minus_one_to_one():
    images = np.stack([picture(slice(0, 10), slice(90, 100)), picture(slice(95, 105), slice(45, 55))])
    np.testing.assert_allclose(places(images, ["red"])[:, 0], [[-0.95, 0.9], [0.0, 0.0]], atol=1e-6)


def test_each_colour_has_a_place_of_its_own():
    image = picture(slice(0, 10), slice(90, 100))
    image[45:55, 95:105] = (40, 110, 60)
    np.testing.assert_allclose(places(image[None], ["green", "red"])[0], [[0.0, 0.0], [-0.95, 0.9]], atol=1e-6)


def test_an_object_that_is_hidden_but_for_its_rim_has_no_place():
    image = picture(slice(0, FEWEST_PIXELS - 1), slice(0, 1))
    assert np.isnan(places(image[None], ["red"])).all()


def test_white_and_wood_have_no_colour():
    for colour in ((255, 255, 255), (170, 130, 90)):
        assert np.isnan(places(picture(slice(0, 10), slice(0, 10), colour)[None], ["red", "green"])).all()
