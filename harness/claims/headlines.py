"""The metrics that are shown when nobody chooses: of a report's main table, and of a comparison."""

WITHOUT_TRUTH = (  # of photographs, where no exact swap exists
    "id_cos_target",
    "id_nearest",
    "cycle_error",
    "landmark_error",
    "yaw_error",
    "rec_l1_face",
    "rec_sharpness_gain_1",
    "checkerboard_db_1",
)
HEADLINES = (
    "swap_score",
    "identity_transfer",
    "off_axis",
    "expression_error",
    "leak_gap",
    "identity_variance_share",
    "rec_l1_face",
    "checkerboard_db_1",
    "swap_images_per_s",
)
