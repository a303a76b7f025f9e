"""The documented names: fields and specifications, stores of values, packing, binders."""
