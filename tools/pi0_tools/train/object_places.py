"""Where a coloured object is in a picture, read from the picture itself."""

import numpy as np

# An object that is hidden but for its rim has no place.
FEWEST_PIXELS = 12
LEAST_BRIGHTNESS = 60
CHANNELS = {"red": 0, "green": 1}
# The share that the other channels may have of it, at most: wood has more of red's, and nothing else is green.
MOST_OF_OTHERS = {"red": 0.6, "green": 0.8}


def places(images, colours):
    """The middle of each colour in each picture, [pictures, colours, 2], x and y from −1 to 1; NaN where nothing is.

    images: uint8 [pictures, height, width, 3]. colours: of CHANNELS.
    """
    height, width = images.shape[1:3]
    found = np.full((len(images), len(colours), 2), np.nan, np.float32)
    for index, image in enumerate(images):
        for colour, place in zip(colours, found[index], strict=True):
            rows, columns = np.nonzero(_is_coloured(image, colour))
            if len(rows) >= FEWEST_PIXELS:
                place[:] = (2 * columns.mean() + 1) / width - 1, (2 * rows.mean() + 1) / height - 1
    return found


def _is_coloured(image, colour):
    channel = CHANNELS[colour]
    brightness = image[..., channel].astype(np.float32)
    others = np.delete(image, channel, axis=-1).max(axis=-1)
    return (brightness > LEAST_BRIGHTNESS) & (others < MOST_OF_OTHERS[colour] * brightness)
