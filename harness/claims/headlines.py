"""The metrics that are shown when nobody chooses: of a report's main table, and of a comparison."""

HEADLINES = (
    "swap_score",
    "identity_transfer",
    "off_axis",
    "expression_error",
    "leak_gap",
    "identity_variance_share",
    "rec_l1_face",
    "cbe_db_1",
    "swap_images_per_s",
)
