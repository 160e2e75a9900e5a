"""Names, order and ranges of everything the face renderer can vary.

The order of `IDENTITY` and `POSE` is the column order of every identity and pose tensor of the project, and of the
manifests on disk; `LANDMARKS` and `REGIONS` name the rows of what `render` returns.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Factor:
    """One continuous degree of freedom of a face; values outside [low, high] are not rendered meaningfully."""

    name: str
    low: float
    high: float
    description: str


def _identity(name: str, description: str) -> Factor:
    return Factor(name, 0.0, 1.0, description)


# Every identity factor runs from 0 to 1; the description says what the two ends look like.
IDENTITY: tuple[Factor, ...] = (
    _identity("face_width", "narrow to wide head"),
    _identity("face_height", "short to tall head"),
    _identity("jaw_width", "pointed to square jaw"),
    _identity("cheeks", "flat to full cheeks"),
    _identity("skin_tone", "light to dark skin"),
    _identity("skin_warmth", "rosy to golden skin"),
    _identity("hair_hue", "brown, umber, chestnut, ginger, rose, violet"),
    _identity("hair_lightness", "nearly black to nearly white hair"),
    _identity("hair_length", "cropped to below the chin; from 0.3 on it falls beside the face"),
    _identity("hair_volume", "flat to high hair"),
    _identity("hair_curl", "smooth to curly hair"),
    _identity("fringe", "bare forehead to fringe over the brows"),
    _identity("parting", "hair parted on the image's left to on its right"),
    _identity("hair_bun", "below 0.45 none, then a bun of growing size"),
    _identity("eye_size", "small to large eyes"),
    _identity("eye_spacing", "close to wide-set eyes"),
    _identity("eye_height", "low to high eyes"),
    _identity("eye_tilt", "outer corners down to up"),
    _identity("iris_hue", "brown, amber, green, blue, violet iris"),
    _identity("iris_lightness", "dark to light iris"),
    _identity("lashes", "thin lid line to long lashes"),
    _identity("brow_thickness", "thin to bushy brows"),
    _identity("brow_length", "short to long brows"),
    _identity("brow_angle", "outer ends down to up"),
    _identity("brow_lightness", "brows darker than the hair to as light as it"),
    _identity("nose_length", "short to long nose"),
    _identity("nose_width", "narrow to broad nose"),
    _identity("nose_size", "flat to prominent nose tip"),
    _identity("mouth_width", "narrow to wide mouth"),
    _identity("mouth_height", "low to high mouth"),
    _identity("lip_fullness", "thin to full lips"),
    _identity("lip_colour", "skin-coloured, rose, red, plum lips"),
    _identity("ear_size", "small to large ears"),
    _identity("glasses", "below 0.4 none, from 0.5 on glasses with ever thicker rims"),
    _identity("glasses_shape", "round to square lenses"),
    _identity("glasses_size", "small to large lenses"),
    _identity("glasses_hue", "rim colour: black, tortoise, red, blue, teal"),
    _identity("beard", "below 0.4 none, from 0.5 on stubble to full beard"),
    _identity("beard_length", "close-cropped to long beard"),
    _identity("cap", "below 0.7 none, from 0.75 on a cap pulled ever further down"),
    _identity("cap_hue", "cap colour: red, mustard, green, blue, purple"),
    _identity("blush", "none to rosy cheeks"),
    _identity("freckles", "none to many freckles"),
)

POSE: tuple[Factor, ...] = (
    Factor("yaw", -40.0, 40.0, "degrees; positive turns the nose to the image's right"),
    Factor("pitch", -20.0, 20.0, "degrees; positive looks up"),
    Factor("roll", -15.0, 15.0, "degrees; positive turns the head clockwise in the image"),
    Factor("smile", -1.0, 1.0, "frown to broad smile"),
    Factor("mouth_open", 0.0, 1.0, "closed to wide open"),
    Factor("blink", 0.0, 1.0, "eyes open to shut"),
    Factor("gaze_x", -1.0, 1.0, "eyes to the image's left to its right"),
    Factor("gaze_y", -1.0, 1.0, "eyes down to up"),
    Factor("brow", -1.0, 1.0, "drawn down together to raised"),
    Factor("shift_x", -0.08, 0.08, "head position in half frames; positive is right"),
    Factor("shift_y", -0.08, 0.08, "head position in half frames; positive is up"),
    Factor("zoom", 0.92, 1.08, "scale of the head in the frame"),
    Factor("light_azimuth", -70.0, 70.0, "degrees; positive lights from the image's right"),
    Factor("light_elevation", -5.0, 60.0, "degrees above the horizon"),
)

# "left" and "right" are sides of the picture of a frontal face, not of the person.
LANDMARKS: tuple[str, ...] = (
    "eye_left",
    "eye_right",
    "eye_left_outer",
    "eye_left_inner",
    "eye_right_inner",
    "eye_right_outer",
    "eye_left_upper",
    "eye_left_lower",
    "eye_right_upper",
    "eye_right_lower",
    "iris_left",
    "iris_right",
    "brow_left_outer",
    "brow_left_inner",
    "brow_right_inner",
    "brow_right_outer",
    "nose_tip",
    "nose_left",
    "nose_right",
    "mouth_left",
    "mouth_right",
    "lip_top",
    "lip_inner_top",
    "lip_inner_bottom",
    "lip_bottom",
    "chin",
    "jaw_left",
    "jaw_right",
    "ear_left",
    "ear_right",
)

# A partition of the matte: the regions of a picture sum to its alpha.
REGIONS: tuple[str, ...] = (
    "skin",
    "nose",
    "eyes",
    "brows",
    "mouth",
    "ears",
    "hair",
    "beard",
    "glasses",
    "cap",
)

IDENTITY_INDEX: dict[str, int] = {factor.name: i for i, factor in enumerate(IDENTITY)}
POSE_INDEX: dict[str, int] = {factor.name: i for i, factor in enumerate(POSE)}
