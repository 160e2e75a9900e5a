"""From EXR files to batches: the face set, EXR reading, the decode-once store, augmentation and the batches."""
