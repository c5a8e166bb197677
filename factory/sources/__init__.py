"""Where problems come from.

A file in this room is a dataclass `Source` with a method `rows()`, which yields a `Row` for each
row, or a `Reject` that says why it is none (`factory.sources._row`). One that can tell beforehand
that it will find nothing, without reading, has a method `check()` that raises SourceError.
"""
