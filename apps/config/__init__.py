"""The configuration as one text: written out, compared with what there is, and brought in."""
