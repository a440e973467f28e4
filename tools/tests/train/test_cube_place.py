import numpy as np

from pi0_tools.train.cube_place import FEWEST_PIXELS, cube_places


def picture(columns, rows, colour=(255, 40, 40)):
    image = np.full((100, 200, 3), 80, np.uint8)
    image[rows, columns] = colour
    return image


def test_the_place_is_the_middle_of_what_is_red_from_minus_one_to_one():
    images = np.stack([picture(slice(0, 10), slice(90, 100)), picture(slice(95, 105), slice(45, 55))])
    np.testing.assert_allclose(cube_places(images), [[-0.95, 0.9], [0.0, 0.0]], atol=1e-6)


def test_a_cube_that_is_hidden_but_for_its_rim_has_no_place():
    image = picture(slice(0, FEWEST_PIXELS - 1), slice(0, 1))
    assert np.isnan(cube_places(image[None])).all()


def test_white_is_not_red():
    assert np.isnan(cube_places(picture(slice(0, 10), slice(0, 10), (255, 255, 255))[None])).all()
