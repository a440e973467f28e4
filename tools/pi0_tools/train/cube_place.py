"""Where the cube is in a picture, read from the picture itself: nothing else in the scene is red."""

import numpy as np

# A cube that is hidden but for its rim has no place.
FEWEST_PIXELS = 12


def cube_places(images):
    """The middle of what is red in each picture, [pictures, 2], x and y from −1 to 1; NaN where nothing is.

    images: uint8 [pictures, height, width, 3].
    """
    height, width = images.shape[1:3]
    places = np.full((len(images), 2), np.nan, np.float32)
    for index, image in enumerate(images):
        red, green, blue = image[..., 0], image[..., 1], image[..., 2]
        rows, columns = np.nonzero((red > 120) & (green < red // 2) & (blue < red // 2))
        if len(rows) >= FEWEST_PIXELS:
            places[index] = (2 * columns.mean() + 1) / width - 1, (2 * rows.mean() + 1) / height - 1
    return places
