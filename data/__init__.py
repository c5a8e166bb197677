"""The tiny default model and its problem set, with the scripts that made both."""
