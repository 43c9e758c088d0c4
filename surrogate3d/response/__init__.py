"""Response of lesions: which part of a lesion resists, from its image and dose; research only."""
