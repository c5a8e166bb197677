"""Without torch and transformers, which only the model needs, its tests are not collected."""

from importlib.util import find_spec

needed = ("torch", "transformers", "tokenizers", "safetensors")
collect_ignore = [] if all(map(find_spec, needed)) else ["test_tiny_model.py"]
