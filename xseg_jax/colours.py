"""The colour of each class: the same one in every figure and in every file that is written."""

Rgb = tuple[int, int, int]

# Paul Tol's "muted" set (SRON/EPS/TN/09-002, 2021), ordered so that the first four classes differ
# in lightness too and survive a grey printer, then three of Wong (Nature Methods 8:441, 2011).
PALETTE = (
    *((51, 34, 136), (68, 170, 153), (221, 204, 119), (17, 119, 51)),
    *((136, 204, 238), (204, 102, 119), (136, 34, 85), (153, 153, 51)),
    *((170, 68, 153), (230, 159, 0), (0, 114, 178), (213, 94, 0)),
)


def class_rgb(k: int) -> Rgb:
    """Red, green and blue of class k, 0 to 255.

    The first twelve are safe for the colour-blind; beyond them the palette comes back darker.
    """
    darker = 0.65 ** (k // len(PALETTE))
    red, green, blue = PALETTE[k % len(PALETTE)]
    return round(red * darker), round(green * darker), round(blue * darker)
