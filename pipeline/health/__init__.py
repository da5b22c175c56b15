"""Whether every part that calls depend on does its work: a line each, with the mend where it does not."""
