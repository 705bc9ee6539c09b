"""The name of the file that lists the files of a model, each with its sha256."""

MANIFEST = "manifest.json"
