"""Sigma: rules become functions over the fields of a record. Pure, but for ``loading``, which reads files."""
